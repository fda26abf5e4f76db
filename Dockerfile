ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie@sha256:70729b46c69b4f1e97c4822c1af3df53a1476cf5ddc6c087c0c10bc3a5678c2f

FROM ${PYTHON_IMAGE} AS build
WORKDIR /srv
RUN python -m venv --without-pip /opt/venv
COPY requirements/app.txt requirements/
RUN pip --python /opt/venv/bin/python install --no-cache-dir --only-binary :all: --require-hashes -r requirements/app.txt
COPY app app
COPY backup backup
COPY examples examples
# The root file system is read-only at run time, so the byte code is made here.
RUN python -m compileall -q --invalidation-mode unchecked-hash app backup && mkdir data

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG SOURCE=https://github.com/school-scheduler/school-scheduler
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="School Scheduler" \
      org.opencontainers.image.description="Makes a school's weekly timetable" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 COMMIT=${COMMIT}
WORKDIR /srv
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/app app
COPY --from=build /srv/backup backup
COPY --from=build /srv/examples examples
# Without a DB_HOST the database is a file in here.
COPY --from=build --chown=10001:10001 /srv/data data
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["python", "-m", "app.school_schedule"]
CMD ["serve", "--host", "0.0.0.0"]
