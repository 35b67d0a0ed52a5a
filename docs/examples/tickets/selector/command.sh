meshproof repro docs/examples/tickets/selector --expect 403 --curl 'curl -sS http://demo.shop/'
