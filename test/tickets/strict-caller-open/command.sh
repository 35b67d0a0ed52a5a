meshproof repro test/tickets/strict-caller-open --request 'GET http://basket.sales/'
