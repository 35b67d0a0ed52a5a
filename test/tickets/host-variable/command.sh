meshproof repro test/tickets/host-variable --expect 403 --curl 'curl "http://$INGRESS_HOST:$INGRESS_PORT/headers"'
