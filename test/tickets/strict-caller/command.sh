meshproof repro test/tickets/strict-caller --expect closed --from outside --request 'GET http://basket.sales/'
