meshproof repro test/tickets/service-port-in-mtls-corrected --expect closed --from outside --request 'GET http://stock.depot:8000/'
