meshproof repro test/tickets/keys-behind-mtls-corrected --expect 200 --request 'GET http://orders.sales/' --claims '{"iss":"accounts","sub":"u"}'
