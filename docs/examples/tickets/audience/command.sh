meshproof repro docs/examples/tickets/audience --expect 200 \
  --request 'GET /' --claims '{"iss":"https://login.example.com/","sub":"somebody","aud":["aud3"]}'
