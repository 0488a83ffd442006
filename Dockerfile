# The provider in a small image: not root, nothing written but (with the embedded database) /data.
#   docker build -t sso .
#   docker run --read-only --tmpfs /tmp -p 8000:8000 --env-file .env sso
# With pg_dump and pg_restore, for `sso backup`; POSTGRESQL is at least the version of the server:
#   docker build --target backup --build-arg POSTGRESQL=18 -t sso-backup .
# `make image` replays the steps of the last stage in a bare Debian tree.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/sso
COPY requirements/run.txt requirements/run.txt
RUN /opt/sso/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE clients.example.yaml ./
COPY src src
COPY migrations migrations
COPY scripts/compile_catalogues.py scripts/
COPY examples examples
COPY docs docs
COPY packages packages
RUN /opt/sso/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/sso/bin/python -c "from sso.http.common.pages import prepare; prepare()" \
    && /opt/sso/bin/pip uninstall --yes --quiet hatchling editables pip

FROM python:3.13-slim AS run
RUN useradd --system --uid 10001 --no-create-home sso && install -d -o sso -g sso /data
COPY --from=build /opt/sso /opt/sso
ENV PATH=/opt/sso/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SSO_DATA_DIR=/data
USER sso
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=3)"]
ENTRYPOINT ["sso"]
CMD ["serve", "--host", "0.0.0.0"]

FROM run AS backup
ARG POSTGRESQL=18
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && apt-get install --yes --no-install-recommends "postgresql-client-$POSTGRESQL" \
    && rm -rf /var/lib/apt/lists/*
USER sso
CMD ["backup", "/backups", "--verify"]

FROM run
