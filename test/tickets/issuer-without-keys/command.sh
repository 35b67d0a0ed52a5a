meshproof repro test/tickets/issuer-without-keys --expect 200 --request 'GET http://device.mobile/' --claims '{"iss":"phones","sub":"d"}'
