# What guides to production say about policies, tokens, auth methods and leases, in their order.

vault status -format=json | jq -r '.sealed, .initialized'
vault policy write prometheus-metrics - <<'HCL'
path "sys/metrics" {
  capabilities = ["read"]
}
HCL
vault token create -policy="prometheus-metrics" -period="768h" -orphan -display-name="prometheus" | grep -v '^token '
TOKEN=$(vault token create -policy="prometheus-metrics" -period="768h" -orphan -display-name="prometheus" -field=token)
VAULT_TOKEN=$TOKEN vault token lookup -format=json | jq -S '.data | {period, orphan, display_name, policies, renewable}'
VAULT_TOKEN=$TOKEN vault token renew -format=json | jq -S '.auth | {lease_duration, renewable, policies}'
VAULT_TOKEN=$TOKEN vault token capabilities sys/metrics
VAULT_TOKEN=$TOKEN vault kv get secret/app
vault policy write vault-admin - <<'HCL'
# Manage secrets engines
path "sys/mounts/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "sys/mounts" {
  capabilities = ["read", "list"]
}
# Manage policies
path "sys/policies/acl/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "sys/policies/acl" {
  capabilities = ["list"]
}
# Manage auth methods
path "sys/auth/*" {
  capabilities = ["create", "read", "update", "delete", "list", "sudo"]
}
path "sys/auth" {
  capabilities = ["read", "list"]
}
# DENY direct access to application secrets
path "secret/*" {
  capabilities = ["deny"]
}
HCL
vault policy list
vault policy list -format=json | jq -r '.[]'
vault policy read vault-admin
vault kv put secret/app password=x
ADMIN=$(vault token create -policy=vault-admin -format=json | jq -r .auth.client_token)
VAULT_TOKEN=$ADMIN vault kv get secret/app
VAULT_TOKEN=$ADMIN vault token capabilities secret/data/app
VAULT_TOKEN=$ADMIN vault secrets enable -path=team kv
VAULT_TOKEN=$ADMIN vault secrets tune -description="the team's" team
VAULT_TOKEN=$ADMIN vault secrets disable team
VAULT_TOKEN=$ADMIN vault auth enable userpass
VAULT_TOKEN=$ADMIN vault auth list | grep userpass | cut -d' ' -f1
VAULT_TOKEN=$ADMIN vault policy write webapp - <<'HCL'
path "secret/data/app" {
  capabilities = ["read"]
}
HCL
vault token create -type=batch -policy="webapp" -ttl="1h" | grep -v '^token '
BATCH=$(vault token create -type=batch -policy="webapp" -ttl="1h" -field=token)
VAULT_TOKEN=$BATCH vault kv get -field=password secret/app
VAULT_TOKEN=$BATCH vault token lookup -format=json | jq -r .data.type
VAULT_TOKEN=$BATCH vault token renew
vault write auth/userpass/users/ann password=pw policies=webapp
vault login -method=userpass -no-store username=ann password=pw | grep -v '^token '
ANN=$(vault login -method=userpass -token-only username=ann password=pw)
VAULT_TOKEN=$ANN vault kv get -field=password secret/app
VAULT_TOKEN=$ANN vault token lookup -field=policies
ACCESSOR=$(VAULT_TOKEN=$ANN vault token lookup -field=accessor)
vault token lookup -accessor "$ACCESSOR" | grep display_name
vault token revoke -accessor "$ACCESSOR"
VAULT_TOKEN=$ANN vault kv get secret/app
vault login -method=userpass -no-store -no-print username=ann password=pw
vault list -format=json sys/leases/lookup/auth/userpass/login/ann | jq length
vault lease revoke -sync -prefix auth/userpass/login/ann
vault list -format=json sys/leases/lookup/auth/userpass/login/ann
PARENT=$(vault token create -policy=vault-admin -field=token)
vault token revoke -mode=orphan "$PARENT"
vault token revoke -self arg
ROOT=$(vault token create -field=token)
VAULT_TOKEN=$ROOT vault token revoke -self
VAULT_TOKEN=$ROOT vault token lookup
WRAPPED=$(vault token create -policy=webapp -wrap-ttl=60s -field=wrapping_token)
vault unwrap -format=json "$WRAPPED" | jq -S '.auth | {policies, token_policies}'
vault unwrap "$WRAPPED"
vault token create -policy=webapp -use-limit=1 -format=json | jq -r .auth.client_token > once.txt
VAULT_TOKEN=$(cat once.txt) vault kv get -field=password secret/app
vault login -no-print "$(vault token create -policy=webapp -field=token)"
env -u VAULT_TOKEN vault token lookup -field=path
env -u VAULT_TOKEN vault print token | wc -c
vault policy delete webapp
vault policy read webapp
vault auth disable userpass
vault auth list -format=json | jq -r keys[]
