# The hub in one image; web, worker, scheduler and the one-shot preparation differ only in their command.

FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv && python -m venv --without-pip /venv
COPY requirements.txt .
RUN uv pip install --no-cache --python /venv/bin/python -r requirements.txt \
    && find /venv -name __pycache__ -prune -exec rm -rf {} +
WORKDIR /hub
COPY . .
# Static files are collected once; the throw-away HUB_HOME takes the secrets that a start makes.
RUN mkdir staticfiles && HUB_HOME=/tmp/build /venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && /venv/bin/python -m compileall -q apps integration_hub

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin hub \
    && install -d -o hub -g hub -m 0700 /data
COPY --from=build /venv /venv
COPY --from=build /hub /hub
WORKDIR /hub
USER hub
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HUB_HOME=/data HUB_HOST=0.0.0.0 HUB_PORT=8000 LOG_FORMAT=json
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "integration_hub.runtime.probe"]
ENTRYPOINT ["python", "manage.py"]
CMD ["serve"]
