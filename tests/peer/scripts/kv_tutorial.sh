# What tutorials on the KV engine of version 2 do, in their order. Runs against a server with that engine at secret/.

vault secrets enable -path=kv kv-v2
vault secrets list | grep kv/
vault kv put -mount=kv customer/acme customer_name="ACME Inc." contact_email="john.smith@acme.com"
vault kv put -mount=kv customer/acme customer_name="ACME Inc." contact_email="j.smith@acme.com"
vault kv get -mount=kv customer/acme
vault kv get -mount=kv -version=1 customer/acme
vault kv get -mount=kv -field=contact_email customer/acme
vault kv get -mount=kv -format=json customer/acme | jq -r .data.data.contact_email
vault kv get -mount=kv -format=json -version=1 customer/acme | jq -S '.data.data, .data.metadata.version'
vault kv patch -mount=kv customer/acme contact_email="admin@acme.com"
vault kv get -mount=kv customer/acme
vault kv metadata put -mount=kv -custom-metadata=Membership="Platinum" -custom-metadata=Region="US West" customer/acme
vault kv get -mount=kv customer/acme
vault kv metadata get -mount=kv customer/acme
vault kv metadata get -mount=kv -format=json customer/acme | jq -S '.data.versions | keys, (.data.custom_metadata // {})'
vault write kv/config max_versions=4
vault read kv/config
vault kv metadata put -mount=kv -max-versions=4 customer/acme
vault kv put -mount=kv customer/acme customer_name="ACME Inc." contact_email="a@acme.com"
vault kv put -mount=kv customer/acme customer_name="ACME Inc." contact_email="b@acme.com"
vault kv put -mount=kv customer/acme customer_name="ACME Inc." contact_email="c@acme.com"
vault kv get -mount=kv -version=1 customer/acme
vault kv metadata get -mount=kv customer/acme
vault kv delete -mount=kv -versions="4,5" customer/acme
vault kv get -mount=kv -version=4 customer/acme
vault kv get -mount=kv -version=4 -format=json customer/acme | jq -S '.data.data, (.data.metadata | keys)'
vault kv undelete -mount=kv -versions=5 customer/acme
vault kv get -mount=kv -version=5 -field=contact_email customer/acme
vault kv destroy -mount=kv -versions=4 customer/acme
vault kv metadata get -mount=kv customer/acme
vault kv rollback -mount=kv -version=3 customer/acme
vault kv get -mount=kv customer/acme
vault kv metadata delete -mount=kv customer/acme
vault kv get -mount=kv customer/acme
vault kv metadata put -mount=kv -delete-version-after=40s test
vault kv put -mount=kv test message="data1"
vault kv metadata get -mount=kv test
vault kv metadata put -mount=kv -cas-required customer/partner
vault kv put -mount=kv customer/partner name="Example Co." partner_id="123456789"
vault kv put -mount=kv -cas=0 customer/partner name="Example Co." partner_id="123456789"
vault kv put -mount=kv -cas=1 customer/partner name="Example Co." partner_id="ABCDEFGHIJKLMN"
vault kv put -mount=kv -cas=1 customer/partner name="Example Co." partner_id="x"
vault kv patch -mount=kv -cas=2 customer/partner partner_id="y"
vault kv list -mount=kv
vault kv list -mount=kv customer/
vault kv list -format=json kv/customer | jq -r '.[]'
vault kv get -mount=kv -format=yaml customer/partner | grep partner_id

# The dev server's store, with the mount in the path.
vault kv put secret/hello foo=world
vault kv put secret/hello foo=world excited=yes
vault kv get -field=excited secret/hello
vault kv get -format=json secret/hello | jq -r .data.data.excited
vault kv delete secret/hello
vault kv get secret/hello
vault kv undelete -versions=2 secret/hello
vault kv get -field=foo secret/hello
printf 'multi\nline\n' > value.txt
vault kv put secret/file text=@value.txt
vault kv get -field=text secret/file
echo '{"user": "ann", "port": 5432, "tls": true}' | vault kv put secret/json -
vault kv get secret/json
vault kv get -field=port secret/json
vault kv get -format=json secret/json | jq -S .data.data
eval "$(vault kv get -format=json secret/json | jq -r '.data.data | to_entries | .[] | "APP_\(.key)=\(.value)"')"; echo "$APP_user:$APP_port"
printf %s "$(vault kv get -field=user secret/json)" | wc -c

# From version 1 to version 2.
vault secrets enable -path=old -version=1 kv
vault kv put old/app user=ann
vault kv get old/app
vault kv list old
vault kv enable-versioning old/
for _ in 1 2 3 4 5 6 7 8 9 10; do vault kv get old/app >/dev/null 2>&1 && break; sleep 0.3; done
vault kv get old/app
vault kv put old/app user=bob
vault kv get -version=1 -field=user old/app
vault secrets list -format=json | jq -S '."old/".options'
