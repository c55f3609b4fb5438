# Two images. The first trains a model, the second serves one.
#
#   docker build --target train -t hitsong-train .
#   docker run --rm -v "$PWD/data:/app/data" hitsong-train                    # make demo; or: hitsong-train python 05_train.py ...
#
#   docker build --target serve -t hitsong .
#   docker run --rm -p 127.0.0.1:8787:8787 -e HITSONG_TOKEN=... --read-only --tmpfs /tmp \
#       -v "$PWD/data/demo/models/crnn:/bundle:ro" hitsong
#
# Serve only bundles from people you trust: their files can run code.

FROM python:3.12-slim AS base
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt requirements-musicnn.txt ./
RUN pip install --require-hashes -r requirements.txt \
 && pip install --require-hashes --no-deps -r requirements-musicnn.txt
RUN useradd --create-home --uid 10001 hitsong
COPY hitsong ./hitsong

FROM base AS train
COPY standin ./standin
COPY configs ./configs
COPY config.yaml 0*.py ./
RUN mkdir data && chown hitsong data
USER hitsong
CMD ["sh", "-c", "for stage in 01_collect 02_download 03_features 04_baseline 05_train 06_evaluate; do python $stage.py || exit; done"]

FROM base AS serve
ENV MPLCONFIGDIR=/tmp NUMBA_CACHE_DIR=/tmp
COPY 07_serve.py ./
USER hitsong
EXPOSE 8787
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8787/health/ready', timeout=5)"]
# Listens on all addresses of the container, so that a token is required.
CMD ["python", "07_serve.py", "--bundle", "/bundle", "--host", "0.0.0.0"]
