meshproof repro docs/examples/tickets/multiple-slashes --expect 403 --curl 'curl --path-as-is http://shop.example//admin'
