# cortseq with every extra that reads files, in the versions that the tests ran with.
#   docker build -t cortseq . && docker run --rm -v "$PWD":/work cortseq run my_study.yaml
#   apptainer build cortseq.sif docker-daemon://cortseq:latest && apptainer run cortseq.sif run my_study.yaml
FROM python:3.11-slim

COPY . /opt/cortseq
# On x86 the package index serves torch with CUDA; this index serves the build for processors alone.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" \
    -c /opt/cortseq/constraints.txt '/opt/cortseq[all,slurm]' \
    && rm -rf /opt/cortseq

# Compiled functions and measured costs are kept in the mounted folder, whoever runs the container.
ENV NUMBA_CACHE_DIR=/work/.cache/numba \
    XDG_CACHE_HOME=/work/.cache \
    MPLCONFIGDIR=/work/.cache/matplotlib
WORKDIR /work
ENTRYPOINT ["cortseq"]
CMD ["--help"]
