meshproof repro docs/examples/waypoints/client-identity --expect 200 --from web/default \
  --request 'GET http://orders.shop:8080/'
