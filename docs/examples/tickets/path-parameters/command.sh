meshproof repro docs/examples/tickets/path-parameters --expect 403 \
  --curl "curl --path-as-is 'http://shop.example/v1/..;/internal/path1/path5'"
