meshproof repro docs/examples/waypoints/client-allowed --expect 200 --from web/frontend \
  --request 'GET http://orders.shop:8080/'
