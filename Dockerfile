# syntax=docker/dockerfile:1
#
#   docker build -t ringledger .
#   docker run --rm -p 8080:8080 -v ringledger:/var/lib/ringledger \
#     --security-opt seccomp=tuning/seccomp/ringledger.json ringledger
#   docker run --rm -v ringledger:/var/lib/ringledger ringledger token --operator
#
# Without that profile Docker refuses io_uring; the service then says so and serves by epoll.

# The release in rust-toolchain.toml. That file stays outside: its editor components are not wanted here.
ARG RUST_VERSION=1.95.0

# Debian 12 on both sides: the binary needs a glibc no older than the one that it was linked with.
FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /src
# The tree has no history here: docker build --build-arg RINGLEDGER_COMMIT=$(git describe --always --dirty --abbrev=12 --exclude='*')
ARG RINGLEDGER_COMMIT=
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY . .
# The caches outlive a build but are in no layer, hence the copy to /out.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin ringledger \
    && install -D target/release/ringledger /out/bin/ringledger \
    && install -d -m 0700 /out/lib/ringledger \
    && ldd target/release/ringledger | grep -o '/[^ ]*' \
        | xargs -I{} install -D {} /out/libraries{}

# The four libraries above are all that the binary needs; distroless/cc would add 20 MB of others, OpenSSL among them.
FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ringledger" \
      org.opencontainers.image.description="A payments ledger behind HTTP whose tail latency stays flat" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="gcr.io/distroless/static-debian12:nonroot"
COPY --from=build /out/libraries/ /
COPY --from=build /out/bin/ /usr/local/bin/
# 65532 is `nonroot` of the image. The directory comes as the content of its parent, which keeps its mode.
COPY --from=build --chown=65532:65532 /out/lib/ /var/lib/
ENV RINGLEDGER__SERVER__LISTEN=0.0.0.0:8080 \
    RINGLEDGER__STORE__DATA_DIR=/var/lib/ringledger
# The ledger and its signing key.
VOLUME ["/var/lib/ringledger"]
EXPOSE 8080
USER 65532:65532
# The image has no shell and no curl, so the binary asks itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --start-interval=1s --retries=3 \
    CMD ["/usr/local/bin/ringledger", "health"]
ENTRYPOINT ["/usr/local/bin/ringledger"]
CMD ["serve"]
