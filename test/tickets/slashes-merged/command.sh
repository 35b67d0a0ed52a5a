meshproof repro test/tickets/slashes-merged --expect 403 --curl 'curl --path-as-is http://shop.example//admin'
