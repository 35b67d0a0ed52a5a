meshproof repro test/tickets/allowed-behind-gateway --expect 403 --request "GET http://shop.example.com/orders"
