meshproof repro test/tickets/denied-behind-gateway --expect 200 --request "POST http://shop.example.com/orders"
