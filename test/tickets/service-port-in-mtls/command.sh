meshproof repro test/tickets/service-port-in-mtls --expect closed --from outside --request 'GET http://stock.depot:8000/'
