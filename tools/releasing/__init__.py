"""The files of a release, in dist/: Python package, chart, krew plugin, their checksums.

Here belong: building these files and checking that the sources name one version. Not here: images
(tools/image), and publishing, which .github/workflows/release.yaml does.
"""
