"""The operator's image, made from the Dockerfile without a container engine.

Here belong: the base, the wheel house, the build itself, archives of images and what is in them,
the bill of materials, and the images that tests use in place of published ones. Not here: running
an image (tools/node), or checks of it (tests/e2e). It takes root on Debian, for buildah's chroot;
users need none of this, `docker build .` does the same with the index.
"""
