# The agent, in production mode: `docker compose --profile agent up`, or an image to copy from.
# Mount a volume at /var/lib/tracing: what waits there outlives the container.

FROM python:3.13-slim-trixie AS build
WORKDIR /build
RUN python -m venv /opt/agent \
    && /opt/agent/bin/pip install --no-cache-dir "pip>=25.1"
COPY pyproject.toml README.md LICENSE ./
COPY tracing tracing
# The group `demo` is for demo/agent.py; leave it out of an agent with models of its own.
RUN /opt/agent/bin/pip install --no-cache-dir --group demo .

FROM python:3.13-slim-trixie
RUN groupadd --gid 10001 agent \
    && useradd --uid 10001 --gid agent --create-home agent \
    && install --directory --owner=agent --group=agent --mode=0700 /var/lib/tracing
COPY --from=build /opt/agent /opt/agent
WORKDIR /app
COPY agent_entry.py ./
COPY demo demo

ENV PATH=/opt/agent/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TRACING_DIR=/var/lib/tracing
VOLUME /var/lib/tracing
USER 10001:10001
# LiveKit's worker tells its health here, and its load under /worker.
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8081, timeout=4); c.request('GET', '/'); raise SystemExit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
CMD ["python", "agent_entry.py", "start"]
