meshproof repro docs/examples/tickets/jwks-not-fetched --jwks unreachable --expect 200 \
  --request 'GET /' --claims '{"iss":"https://my-outside-cluster-host.com/oidc","sub":"somebody"}'
