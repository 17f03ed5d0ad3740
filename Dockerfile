# A static binary, the certificates of authorities, and nothing else. `make image` builds it, also without an engine.
FROM rust:1.95.0-alpine AS build
RUN apk add --no-cache build-base linux-headers ca-certificates
WORKDIR /src
COPY . .
# The toolchain is this image's, so rustup need not fetch the one that rust-toolchain.toml names.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_INCREMENTAL=0
ARG SOURCE_DATE_EPOCH=0
RUN RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo -C target-feature=+crt-static" \
    cargo build --locked --release -p keywright --bin keywright && \
    mkdir -p /image/etc/ssl/certs /image/tmp /image/var/lib/keywright && \
    cp target/release/keywright /image/ && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    echo "keywright:x:65532:65532::/var/lib/keywright:/sbin/nologin" >/image/etc/passwd && \
    echo "keywright:x:65532:" >/image/etc/group && \
    chmod 1777 /image/tmp && chmod 700 /image/var/lib/keywright && chown 65532:65532 /image/var/lib/keywright && \
    find /image -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENV PATH=/ SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 4444 4445
ENTRYPOINT ["/keywright"]
LABEL org.opencontainers.image.title="Keywright" org.opencontainers.image.licenses="Apache-2.0"
