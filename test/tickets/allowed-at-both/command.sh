meshproof repro test/tickets/allowed-at-both --expect 403 --request "GET http://shop.example.com/orders"
