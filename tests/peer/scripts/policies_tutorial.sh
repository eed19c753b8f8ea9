# What tutorials on policies do: write, format, read, test with a token, templates with + and *, parameters, and root's need.

tee admin-policy.hcl <<'HCL' >/dev/null
path "auth/*"
{
  capabilities = ["create", "read", "update", "delete", "list", "sudo"]
}
path "secret/data/+/config" { capabilities = ["read"]
}
path "secret/data/training_*" {
   capabilities = ["create", "read"]
}
path "secret/data/training_closed" { capabilities = ["deny"] }
path "secret/metadata/*" { capabilities = ["list"] }
path "one/limited" {
  capabilities = ["create", "update"]
  allowed_parameters = { "color" = ["red", "blue"], "size" = [] }
  required_parameters = ["color"]
}
HCL
vault policy fmt admin-policy.hcl
cat admin-policy.hcl
vault policy write admin admin-policy.hcl
vault policy list
vault policy read admin | head -3
vault read sys/policies/acl/admin | grep '^name'
vault kv put secret/app/config a=b
vault kv put secret/app/deep/config a=b
ADMIN=$(vault token create -format=json -policy="admin" | jq -r ".auth.client_token")
vault token capabilities "$ADMIN" sys/auth/approle
vault token capabilities "$ADMIN" auth/token/create
vault token capabilities "$ADMIN" secret/data/app/config
vault token capabilities "$ADMIN" secret/data/app/deep/config
export ROOT=$VAULT_TOKEN VAULT_TOKEN=$ADMIN
vault kv get -field=a secret/app/config
vault kv get secret/app/deep/config
vault kv put secret/training_test password="p@ssw0rd"
vault kv put secret/training_test password="again"
vault kv get -field=password secret/training_test
vault kv put secret/training_closed a=b
vault kv list secret/
vault kv delete secret/training_test
vault policy list
vault token capabilities secret/data/training_test
export VAULT_TOKEN=$ROOT
vault secrets enable -path=one -version=1 kv
VAULT_TOKEN=$ADMIN vault write one/limited color=red size=9
VAULT_TOKEN=$ADMIN vault write one/limited color=green
VAULT_TOKEN=$ADMIN vault write one/limited size=9
VAULT_TOKEN=$ADMIN vault write one/limited color=blue other=x
vault policy write admin - <<'HCL'
path "secret/*" { capabilities = ["fly"] }
HCL
vault policy write default - <<'HCL'
path "auth/token/lookup-self" { capabilities = ["read"] }
HCL
VAULT_TOKEN=$ADMIN vault write cubbyhole/a b=c
vault policy delete admin
VAULT_TOKEN=$ADMIN vault kv get secret/app/config
vault policy delete default
vault policy read nothing
vault policy write root - <<'HCL'
path "a" { capabilities = ["read"] }
HCL
