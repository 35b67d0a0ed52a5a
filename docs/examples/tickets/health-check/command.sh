meshproof repro docs/examples/tickets/health-check --expect 200 --request 'GET /healthz'
