"""A round trip with the client that `openapi-python-client` made of the server's OpenAPI document.

    python3 openapi_client.py FOLDER ADDRESS ROOT_TOKEN

FOLDER holds the generated package `generated`, made of the document with `generic_mount_paths`. The server is in
development mode, with KV version 2 at secret/. Ends with 0 if everything was as it should be.
"""

import sys
from http import HTTPStatus

FOLDER, ADDRESS, ROOT = sys.argv[1:]
sys.path.insert(0, FOLDER)

from generated import AuthenticatedClient, Client  # noqa: E402
from generated import models  # noqa: E402
from generated.api.auth import (  # noqa: E402
    auth_token_read_lookup_self,
    auth_token_write_create,
    auth_token_write_lookup,
    auth_token_write_revoke,
)
from generated.api.secrets import (  # noqa: E402
    kv_v2_delete_data_path,
    kv_v2_delete_metadata_path,
    kv_v2_list_metadata_path,
    kv_v2_patch_data_path,
    kv_v2_read_data_path,
    kv_v2_read_metadata_path,
    kv_v2_write_data_path,
    kv_v2_write_undelete_path,
)
from generated.api.system import (  # noqa: E402
    sys_delete_policies_acl_name,
    sys_list_policies_acl,
    sys_read_health,
    sys_read_mounts,
    sys_read_policies_acl_name,
    sys_read_seal_status,
    sys_write_policies_acl_name,
    sys_write_wrapping_unwrap,
    sys_write_wrapping_wrap,
)


def client(token, **more):
    return AuthenticatedClient(
        base_url=f"{ADDRESS}/v1", token=token, prefix="", auth_header_name="X-Vault-Token", **more
    )


def expect(answer, status=200):
    """The answer's parsed body, if it has this status."""
    assert answer.status_code == HTTPStatus(status), (answer.status_code, answer.content)
    return answer.parsed


def body(model, **fields):
    """A request's body; fields by the names that the API has."""
    return model.from_dict(fields)


root = client(ROOT)

# What needs no token.
anyone = Client(base_url=f"{ADDRESS}/v1")
assert expect(sys_read_seal_status.sync_detailed(client=anyone)).sealed is False
assert expect(sys_read_health.sync_detailed(client=anyone)).initialized is True

# A secret, in a folder.
secret, place = "x", {"kv_v2_mount_path": "secret", "client": root}
Write = models.KvV2WriteDataPathRequest
made = expect(kv_v2_write_data_path.sync_detailed(path=secret, body=body(Write, data={"user": "ann", "n": 1}), **place))
assert made.data.version == 1, made
stale = body(Write, data={"user": "eve"}, options={"cas": 0})
refused = expect(kv_v2_write_data_path.sync_detailed(path=secret, body=stale, **place), 400)
assert isinstance(refused, models.Errors) and "check-and-set" in refused.errors[0], refused
read = expect(kv_v2_read_data_path.sync_detailed(path=secret, **place))
assert read.data.data == {"user": "ann", "n": 1} and read.warnings is None, read
patch = body(models.KvV2PatchDataPathRequest, data={"n": None, "more": [True]})
expect(kv_v2_patch_data_path.sync_detailed(path=secret, body=patch, **place))
expect(kv_v2_write_data_path.sync_detailed(path="team/db password", body=body(Write, data={}), **place))
read = expect(kv_v2_read_data_path.sync_detailed(path=secret, **place))
assert read.data.data == {"user": "ann", "more": [True]}, read
read = expect(kv_v2_read_data_path.sync_detailed(path=secret, version=1, **place))
assert read.data.data["n"] == 1, read
true = models.KvV2ListMetadataPathList.TRUE
listed = expect(kv_v2_list_metadata_path.sync_detailed(list_=true, **place))
assert listed.data.keys == ["team/", "x"], listed
metadata = expect(kv_v2_read_metadata_path.sync_detailed(path=secret, **place))
assert metadata.data.current_version == 2 and metadata.data.custom_metadata is None, metadata
expect(kv_v2_delete_data_path.sync_detailed(path=secret, **place), 204)
expect(kv_v2_read_data_path.sync_detailed(path=secret, **place), 404)
versions = body(models.KvV2WriteUndeletePathRequest, versions=[2])
expect(kv_v2_write_undelete_path.sync_detailed(path=secret, body=versions, **place), 204)
assert expect(kv_v2_read_data_path.sync_detailed(path=secret, **place)).data.data["user"] == "ann"
expect(kv_v2_delete_metadata_path.sync_detailed(path=secret, **place), 204)
expect(kv_v2_read_metadata_path.sync_detailed(path=secret, **place), 404)

# A policy, and a token that has it.
rules = body(models.SysWritePoliciesAclNameRequest, policy='path "secret/data/team/*" { capabilities = ["read"] }')
expect(sys_write_policies_acl_name.sync_detailed("team", body=rules, client=root), 204)
assert expect(sys_read_policies_acl_name.sync_detailed("team", client=root)).data.policy == rules.policy
true = models.SysListPoliciesAclList.TRUE
assert "team" in expect(sys_list_policies_acl.sync_detailed(list_=true, client=root)).data.keys
wish = body(models.AuthTokenWriteCreateRequest, policies=["team"], ttl="1h", meta={"a": "b"}, num_uses=5)
auth = expect(auth_token_write_create.sync_detailed(body=wish, client=root)).auth
assert auth.policies == ["default", "team"] and auth.metadata.to_dict() == {"a": "b"}, auth
assert (auth.renewable, auth.num_uses, auth.lease_duration) == (True, 5, 3600), auth
team = client(auth.client_token)
own = expect(auth_token_read_lookup_self.sync_detailed(client=team)).data
assert own.accessor == auth.accessor and own.num_uses == 4, own
expect(kv_v2_read_data_path.sync_detailed("secret", "team/db password", client=team))
denied = expect(kv_v2_read_data_path.sync_detailed("secret", "x", client=team), 403)
assert "permission denied" in denied.errors[0], denied
look = body(models.AuthTokenWriteLookupRequest, token=auth.client_token)
assert expect(auth_token_write_lookup.sync_detailed(body=look, client=root)).data.num_uses == 2
gone = body(models.AuthTokenWriteRevokeRequest, token=auth.client_token)
expect(auth_token_write_revoke.sync_detailed(body=gone, client=root), 204)
expect(auth_token_read_lookup_self.sync_detailed(client=team), 403)
expect(sys_delete_policies_acl_name.sync_detailed("team", client=root), 204)

# A wrapped answer.
wrapping = client(ROOT, headers={"X-Vault-Wrap-TTL": "1m"})
inside = body(models.SysWriteWrappingWrapRequest, a="b")
info = expect(sys_write_wrapping_wrap.sync_detailed(body=inside, client=wrapping)).wrap_info
assert info.ttl == 60 and info.creation_path == "sys/wrapping/wrap", info
inside = expect(sys_write_wrapping_unwrap.sync_detailed(client=client(info.token)))
assert inside.data["a"] == "b", inside

# The mounts, at the top of the answer and under `data`.
mounts = expect(sys_read_mounts.sync_detailed(client=root))
assert mounts.data["secret/"]["type"] == "kv" and mounts["secret/"]["type"] == "kv", mounts
