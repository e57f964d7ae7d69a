# An image with the command c2fnas, for a CPU or, by --build-arg DEVICE=cuda, for NVIDIA GPUs. --build-arg EXTRAS=ray adds
# extras of pyproject.toml.
FROM python:3.12-slim-bookworm AS build
ARG DEVICE=cpu
ARG EXTRAS=
ARG CPU_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/c2fnas
ENV PATH=/opt/c2fnas/bin:$PATH
COPY constraints.txt ./
# PyTorch of PyPI brings CUDA along, several gigabytes; its own index has a build without.
RUN if [ "$DEVICE" = cuda ]; then pip install --constraint constraints.txt torch; \
    else pip install --constraint constraints.txt --index-url "$CPU_INDEX" \
      --extra-index-url https://pypi.org/simple torch; fi
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt ".[formats,dicom,onnx,bundle${EXTRAS:+,$EXTRAS}]"

FROM python:3.12-slim-bookworm
COPY --from=build /opt/c2fnas /opt/c2fnas
ENV PATH=/opt/c2fnas/bin:$PATH HOME=/tmp
RUN c2fnas --version && c2fnas describe c2fnas-panc
# No user of this number is known to the image, as with docker run --user "$(id -u):$(id -g)".
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["c2fnas"]
CMD ["--help"]
