# `docker build --tag sidecar-injector:0.1.0 .` needs a checkout of this repository and the network.
# It needs no network where the wheels of both lock files lie in requirements/wheels and BASE names
# an image with Python 3.11: that is how `python -m tools.image` builds the same image for the tests.
ARG BASE=debian:12-slim

FROM ${BASE} AS python
RUN command -v python3 >/dev/null || { \
      apt-get update \
      && apt-get install --yes --no-install-recommends python3 \
      && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log; \
    }

FROM python AS build
WORKDIR /build
COPY requirements requirements
RUN if [ -d requirements/wheels ]; then \
      printf '[global]\nno-index = true\nfind-links = /build/requirements/wheels\n' >/etc/pip.conf \
      && python3 -m venv --without-pip tools \
      && python3 -m zipfile -e requirements/wheels/pip-*.whl tools/lib/python3*/site-packages; \
    else \
      apt-get update && apt-get install --yes --no-install-recommends python3-venv \
      && python3 -m venv tools; \
    fi
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN tools/bin/python -m pip install --quiet --require-hashes --requirement requirements/build.txt \
    && python3 -m venv --without-pip /opt/sidecar-injector \
    && tools/bin/python -m pip --python /opt/sidecar-injector/bin/python install --quiet --no-compile \
       --require-hashes --requirement requirements/run.txt
COPY LICENSE README.md pyproject.toml ./
COPY operator operator
RUN tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
    && tools/bin/python -m pip --python /opt/sidecar-injector/bin/python install --quiet --no-compile --no-deps --no-index dist/*.whl \
# The root is read-only when it runs: what is not compiled now would be compiled at every start.
# Unchecked, because builders and registries may change the times that Python would compare. Left
# out are the API client's typed models (50 MB compiled), of which only Kopf imports two or three.
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
       -x 'kubernetes/(aio/)?client/(api|models)/(?!v1_(managed|object|owner))[^_]' /opt/sidecar-injector/lib \
    && find /opt/sidecar-injector/lib -type d -name tests -prune -exec rm -r {} + \
    && find /opt/sidecar-injector/bin -type f ! -name '*sidecar[-_]injector' -delete

FROM python
COPY --from=build /opt/sidecar-injector /opt/sidecar-injector
# HOME: the user is in no /etc/passwd, and the API client asks for a home when it is imported.
ENV PATH=/opt/sidecar-injector/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Last, because a release gives other values and what is above stays the same layers.
ARG VERSION=0.1.0
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="sidecar-injector" \
      org.opencontainers.image.description="A Kubernetes operator that puts sidecar containers into pods" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
USER 65532:65532
EXPOSE 8080 9443
ENTRYPOINT ["sidecar-injector"]
CMD ["run"]
