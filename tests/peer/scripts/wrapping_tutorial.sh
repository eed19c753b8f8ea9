# What tutorials on response wrapping and the cubbyhole do: an admin hands a token or a secret on, an application unwraps it.

vault kv put secret/dev username="webapp" password="my-long-password"
vault policy write apps - <<'HCL'
path "secret/data/dev" {
  capabilities = [ "read" ]
}
HCL
vault token create -policy=apps -wrap-ttl=120 | sed -E 's/^(wrapping_(token|accessor|token_ttl)|wrapped_accessor): +.*/\1/'
vault token create -policy=apps -wrap-ttl=120 -format=json | jq -S '.wrap_info | keys, .ttl, .creation_path'
TOKEN=$(vault token create -policy=apps -wrap-ttl=120 -field=wrapping_token)
vault write -format=json sys/wrapping/lookup token="$TOKEN" | jq -S '.data | keys, .creation_ttl, .creation_path'
APPS=$(VAULT_TOKEN=$TOKEN vault unwrap -field=token)
VAULT_TOKEN=$APPS vault kv get secret/dev
VAULT_TOKEN=$APPS vault kv put secret/dev password=other
VAULT_TOKEN=$TOKEN vault unwrap
vault unwrap "$TOKEN"

vault kv get -wrap-ttl=300 secret/dev | grep -E '^wrapping_(token_ttl|token_creation_path)'
SECRET=$(vault kv get -wrap-ttl=5m -format=json secret/dev | jq -r .wrap_info.token)
env -u VAULT_TOKEN vault write sys/wrapping/lookup token="$SECRET" | grep -E '^creation_(path|ttl)'
NEW=$(vault write -field=wrapping_token sys/wrapping/rewrap token="$SECRET")
vault unwrap "$SECRET"
vault unwrap -format=json "$NEW" | jq -S .data.data
vault unwrap -field=data "$NEW"
vault write -wrap-ttl=60s -format=json sys/wrapping/wrap foo=bar zip=zap | jq '.wrap_info.creation_path'
WRAPPED=$(vault write -wrap-ttl=60s -field=wrapping_token sys/wrapping/wrap foo=bar zip=zap)
vault unwrap "$WRAPPED"
vault unwrap nonsense

VAULT_TOKEN=$APPS vault write cubbyhole/private mobile="123-456-7890"
VAULT_TOKEN=$APPS vault read cubbyhole/private
VAULT_TOKEN=$APPS vault list cubbyhole
vault read cubbyhole/private
VAULT_TOKEN=$APPS vault delete cubbyhole/private
VAULT_TOKEN=$APPS vault read cubbyhole/private
