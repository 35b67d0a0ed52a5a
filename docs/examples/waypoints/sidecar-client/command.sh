meshproof repro docs/examples/waypoints/sidecar-client --expect 403 --from web/other \
  --request 'GET http://orders.shop:8080/'
