meshproof repro test/tickets/issuer-without-keys-corrected --expect 200 --request 'GET http://device.mobile/' --claims '{"iss":"phones","sub":"d"}'
