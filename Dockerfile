# syntax=docker/dockerfile:1
#
#   docker build -t ringledger .
#   docker run --rm -p 8080:8080 -v ringledger:/var/lib/ringledger ringledger
#   docker run --rm -v ringledger:/var/lib/ringledger ringledger token --operator
#
# Docker's default seccomp profile refuses io_uring, so the service says so and serves with epoll. To have the
# rings, run it with a profile that allows io_uring_setup, io_uring_enter and io_uring_register.

# The release in rust-toolchain.toml. That file stays outside: its editor components are not wanted here.
ARG RUST_VERSION=1.95.0

# Debian 12 on both sides: the binary needs a glibc no older than the one that it was linked with.
FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /src
# The tree has no history here: docker build --build-arg RINGLEDGER_COMMIT=$(git rev-parse --short=12 HEAD)
ARG RINGLEDGER_COMMIT=
COPY . .
# The caches outlive a build but are in no layer, hence the copy to /out.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin ringledger \
    && install -D target/release/ringledger /out/bin/ringledger \
    && install -d -m 0700 /out/lib/ringledger

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/bin/ /usr/local/bin/
# 65532 is `nonroot` of the image. The directory comes as the content of its parent, which keeps its mode.
COPY --from=build --chown=65532:65532 /out/lib/ /var/lib/
ENV RINGLEDGER__SERVER__LISTEN=0.0.0.0:8080 \
    RINGLEDGER__STORE__DATA_DIR=/var/lib/ringledger
# The ledger and its signing key.
VOLUME ["/var/lib/ringledger"]
EXPOSE 8080
USER 65532:65532
# Whoever runs the container probes /health and /ready: the image has no shell and no curl for a HEALTHCHECK.
ENTRYPOINT ["/usr/local/bin/ringledger"]
CMD ["serve"]
