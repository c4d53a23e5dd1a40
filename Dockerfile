FROM python:3.11-slim-bookworm
WORKDIR /app
COPY deploy/requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY domain domain
COPY workflows workflows
COPY activities activities
COPY worker worker
COPY api api
COPY db db
COPY cli cli
RUN python -m compileall -q . && useradd --system --uid 10001 --home-dir /nonexistent jalon \
  && install -d -o 10001 /var/lib/jalon
USER 10001
ENV PYTHONUNBUFFERED=1 JALON_LOG_JSON=true JALON_API_HOST=0.0.0.0 JALON_HOME=/var/lib/jalon
EXPOSE 8000
ENTRYPOINT ["python", "-m", "cli"]
CMD ["--help"]
