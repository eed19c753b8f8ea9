# What tutorials on tokens do: lives and their bounds, uses, periods, orphans, roles, accessors.

vault token lookup | grep -E '^(display_name|orphan|path|policies|ttl) '
vault token create -ttl=1h -explicit-max-ttl=90m -policy=default | grep -vE '^token(_accessor)? '
TOKEN=$(vault token create -ttl=1h -explicit-max-ttl=90m -policy=default -format=json | jq -r '.auth.client_token')
vault token lookup "$TOKEN" | grep -E '^(explicit_max_ttl|num_uses|orphan|policies|renewable|type) '
vault token renew "$TOKEN" | grep -E '^token_(duration|renewable|policies) '
vault token renew -increment=2h "$TOKEN" 2>&1 | grep -o 'exceeded the effective max_ttl'
vault token renew -increment=30m -format=json "$TOKEN" | jq '.auth.lease_duration'

vault token create -policy=default -use-limit=2 -field=token > use_limit_token.txt
VAULT_TOKEN=$(cat use_limit_token.txt) vault token lookup -format=json | jq .data.num_uses
VAULT_TOKEN=$(cat use_limit_token.txt) vault write cubbyhole/token value=1234567890
VAULT_TOKEN=$(cat use_limit_token.txt) vault read cubbyhole/token

vault write auth/token/roles/zabbix allowed_policies="policy1,policy2,policy3" orphan=true period=8h
vault read auth/token/roles/zabbix
vault list auth/token/roles
vault token create -role=zabbix 2>&1 | grep -vE '^token(_accessor)? '
vault token create -role=zabbix -policy=policy1 -format=json | jq -S '.auth | {policies, lease_duration, orphan}'
vault token create -role=zabbix -policy=other
vault token create -role=nobody
vault write auth/token/roles/zabbix orphan=false allowed_policies_glob="policy*"
vault read -field=orphan auth/token/roles/zabbix
vault delete auth/token/roles/zabbix
vault read auth/token/roles/zabbix

PARENT=$(vault token create -policy=root -field=token)
CHILD=$(VAULT_TOKEN=$PARENT vault token create -policy=default -field=token)
ORPHAN=$(VAULT_TOKEN=$PARENT vault token create -orphan -policy=default -field=token)
vault token lookup -format=json "$CHILD" | jq '.data.orphan, .data.path'
vault token revoke "$PARENT"
vault token lookup "$CHILD"
vault token lookup -format=json "$ORPHAN" | jq '.data.orphan, .data.path'
ACCESSOR=$(vault token lookup -format=json "$ORPHAN" | jq -r .data.accessor)
vault token lookup -accessor "$ACCESSOR" | grep -E '^(id|path) '
vault token renew -increment=1h -accessor "$ACCESSOR" | grep -vE '^token_accessor '
vault token revoke -accessor "$ACCESSOR"
vault token lookup -accessor "$ACCESSOR"
vault token lookup -accessor "" | grep -E '^(display_name|path) '
vault list -format=json auth/token/accessors | jq 'length > 0'
vault token capabilities sys/
vault token create -type=batch -policy=default -ttl=20m -format=json | jq -S '.auth | {token_type, renewable, lease_duration, accessor}'
vault token create -type=batch -policy=default -period=1h
vault token create -policy=default -no-default-policy -format=yaml | grep -A1 token_policies
vault read sys/auth/token/tune
vault auth tune -max-lease-ttl=2h token/
vault token create -ttl=3h -policy=default 2>&1 | grep -vE '^token(_accessor)? '
