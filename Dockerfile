# The server in a container: `docker build --tag tremula .`
FROM python:3.12-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/tremula \
    && /opt/tremula/bin/pip install --no-cache-dir . \
    && /opt/tremula/bin/python -m compileall -q /opt/tremula/lib

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /data tremula
COPY --from=build /opt/tremula /opt/tremula
USER tremula
WORKDIR /data
VOLUME /data
ENV PATH=/opt/tremula/bin:$PATH TREMULA_DATA_DIR=/data
EXPOSE 8008
# The process itself gets SIGTERM, upon which it hands over what it holds.
ENTRYPOINT ["tremula"]
CMD ["serve"]
