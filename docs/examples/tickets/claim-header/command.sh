meshproof repro docs/examples/tickets/claim-header --expect 200 --curl "curl -H 'x-user-id-as: test' http://app.demo/"
