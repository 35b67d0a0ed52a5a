meshproof repro test/tickets/keys-behind-mtls --expect 200 --request 'GET http://orders.sales/' --claims '{"iss":"accounts","sub":"u"}'
