meshproof repro test/tickets/gateway-no-host --expect 200 --request 'GET /orders'
