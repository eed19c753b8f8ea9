"""Calls of hvac, each with what came of it: run against two servers, the output must be the same.

    python3 hvac_calls.py ADDRESS ROOT_TOKEN

The server is in development mode, with KV version 2 at secret/. A line is `step: what the call returned`, as JSON with
what differs from run to run (ids, tokens, times) made alike, or `step: !Class: its message`.
"""

import json
import re
import sys
import time

import hvac
from hvac import exceptions

ADDRESS, ROOT = sys.argv[1:]

ALIKE = [
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\d{4}-\d{2}-\d{2}T[0-9:.]+(Z|[+-]\d{2}:\d{2})", "TIME"),
    (r"\b(hv[sbr]|[sb])\.[A-Za-z0-9_-]{20,}", "TOKEN"),
    (r"_[0-9a-f]{8}\b", "_ID"),
    (r"\b[A-Za-z0-9]{24}\b", "ACCESSOR"),
    (r"vault-cluster-[0-9a-f]{8}", "CLUSTER"),
    (r"v[0-9.]+\+builtin\.\w+", "BUILTIN"),
    (r"OpenBao|Vault|Holdfast", "PRODUCT"),
    (r"'(bao|vault) ", "'vault "),
    (r"\b(127\.0\.0\.1|localhost):\d+", "HOST"),
]

# What there is of a duration when a clock has ticked in between.
TICKING = {"ttl", "lease_duration"}
MOMENTS = {"creation_time", "last_renewal_time", "server_time_utc"}


def alike(value, key=None):
    if isinstance(value, dict):
        return {name: alike(item, name) for name, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [alike(item) for item in value]
    if key in MOMENTS and isinstance(value, int):
        return "UNIX"
    if key in TICKING and isinstance(value, int) and value % 60 == 59:
        return value + 1
    if key == "otp" and value or key == "version" and "." in str(value):
        return key.upper()
    if isinstance(value, str):
        for pattern, name in ALIKE:
            value = re.sub(pattern, name, value)
    return value


def step(name, call, show=lambda answer: answer):
    """Calls, prints, and gives back what was returned; None after an error."""
    try:
        answer = call()
    except exceptions.VaultError as error:
        print(f"{name}: !{type(error).__name__}: {json.dumps(alike(str(error)), ensure_ascii=False)}")
        return None
    if hasattr(answer, "status_code"):
        body = answer.text and alike(answer.json())
        print(f"{name}: HTTP {answer.status_code} {json.dumps(body, sort_keys=True)}")
    else:
        print(f"{name}: {json.dumps(alike(show(answer)), sort_keys=True)}")
    return answer


def client(token=ROOT):
    return hvac.Client(url=ADDRESS, token=token)


def data(answer):
    return answer["data"]


def auth(answer):
    return answer["auth"]


def until(call):
    """What `call` returns once it is true."""
    for _ in range(200):
        found = call()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit("waited in vain")


def kv2(root):
    kv = root.secrets.kv.v2
    step("kv2 configuration", kv.read_configuration, data)
    step("kv2 configure", lambda: kv.configure(max_versions=5, cas_required=False, delete_version_after="30m"))
    step("kv2 configured", kv.read_configuration, data)
    step("kv2 configure back", lambda: kv.configure(max_versions=10))
    step("kv2 create", lambda: kv.create_or_update_secret("app", {"user": "ann", "port": 5432, "tls": True}))
    step("kv2 update", lambda: kv.create_or_update_secret("app", {"user": "bob", "list": [1, None, {"a": "ü"}]}, cas=1))
    step("kv2 stale cas", lambda: kv.create_or_update_secret("app", {"user": "eve"}, cas=1))
    step("kv2 cas of a new one", lambda: kv.create_or_update_secret("new", {"a": "b"}, cas=0))
    step("kv2 cas 0 again", lambda: kv.create_or_update_secret("new", {"a": "b"}, cas=0))
    step("kv2 read", lambda: kv.read_secret("app", raise_on_deleted_version=True))
    step("kv2 read a version", lambda: kv.read_secret_version("app", version=1, raise_on_deleted_version=True))
    step("kv2 read no version", lambda: kv.read_secret_version("app", version=9, raise_on_deleted_version=True))
    step("kv2 read nothing", lambda: kv.read_secret("none", raise_on_deleted_version=True))
    step("kv2 patch", lambda: kv.patch("app", {"user": None, "more": "x"}))
    step("kv2 patched", lambda: kv.read_secret("app", raise_on_deleted_version=True), data)
    step("kv2 patch nothing", lambda: kv.patch("none", {"a": "b"}))
    step("kv2 real patch", lambda: root.adapter.request(
        "patch", "/v1/secret/data/app", json={"data": {"more": None, "n": 1}},
        headers={"Content-Type": "application/merge-patch+json"}))
    step("kv2 subkeys", lambda: root.read("secret/subkeys/app"), data)
    step("kv2 subkeys by depth", lambda: root.adapter.get("/v1/secret/subkeys/app", params={"depth": 1}), data)
    step("kv2 delete the latest", lambda: kv.delete_latest_version_of_secret("app"))
    step("kv2 read a deleted one", lambda: kv.read_secret("app", raise_on_deleted_version=True))
    step("kv2 read a deleted one quietly", lambda: kv.read_secret("app", raise_on_deleted_version=False), data)
    step("kv2 undelete", lambda: kv.undelete_secret_versions("app", versions=[4]))
    step("kv2 undeleted", lambda: kv.read_secret("app", raise_on_deleted_version=True), data)
    step("kv2 delete versions", lambda: kv.delete_secret_versions("app", versions=[1, 2]))
    step("kv2 destroy", lambda: kv.destroy_secret_versions("app", versions=[1, 7]))
    step("kv2 destroy nothing", lambda: kv.destroy_secret_versions("app", versions=[]))
    step("kv2 read a destroyed one", lambda: kv.read_secret_version("app", version=1, raise_on_deleted_version=False))
    step("kv2 metadata", lambda: kv.read_secret_metadata("app"), data)
    step("kv2 update metadata", lambda: kv.update_metadata(
        "app", max_versions=2, cas_required=True, delete_version_after="1h10m", custom_metadata={"team": "a", "b": ""}))
    step("kv2 updated metadata", lambda: kv.read_secret_metadata("app"), data)
    step("kv2 without cas", lambda: kv.create_or_update_secret("app", {"a": "b"}))
    step("kv2 with cas", lambda: kv.create_or_update_secret("app", {"a": "b"}, cas=4))
    step("kv2 pruned", lambda: sorted(data(kv.read_secret_metadata("app"))["versions"]))
    step("kv2 too much metadata", lambda: kv.update_metadata("app", custom_metadata={"k": "x" * 600}))
    step("kv2 metadata of a new one", lambda: kv.update_metadata("bare", custom_metadata={"a": "b"}))
    step("kv2 read what has metadata only", lambda: kv.read_secret("bare", raise_on_deleted_version=True))
    step("kv2 nested", lambda: kv.create_or_update_secret("team/one/db password", {"a": "b"}), data)
    step("kv2 list", lambda: kv.list_secrets(""), data)
    step("kv2 list a folder", lambda: kv.list_secrets("team/"), data)
    step("kv2 list nothing", lambda: kv.list_secrets("none/"))
    step("kv2 delete all", lambda: kv.delete_metadata_and_all_versions("app"))
    step("kv2 delete all again", lambda: kv.delete_metadata_and_all_versions("app"))
    step("kv2 metadata of nothing", lambda: kv.read_secret_metadata("app"))
    step("kv2 wrong path", lambda: root.read("secret/app"))
    step("kv2 write to a wrong path", lambda: root.write_data("secret/app", data={"a": "b"}))
    step("kv2 without data", lambda: root.write_data("secret/data/app", data={"a": "b"}))


def kv1(root):
    step("kv1 enable", lambda: root.sys.enable_secrets_engine("kv", path="one", options={"version": "1"}))
    kv = root.secrets.kv.v1
    step("kv1 create", lambda: kv.create_or_update_secret("app", {"user": "ann", "ttl": "1h"}, mount_point="one"))
    step("kv1 read", lambda: kv.read_secret("app", mount_point="one"))
    step("kv1 update", lambda: kv.create_or_update_secret("app", {"n": 1.5}, method="PUT", mount_point="one"))
    step("kv1 read again", lambda: kv.read_secret("app", mount_point="one"))
    step("kv1 nested", lambda: kv.create_or_update_secret("a/b/c", {"d": None}, mount_point="one"))
    step("kv1 list", lambda: kv.list_secrets("", mount_point="one"), data)
    step("kv1 list a folder", lambda: kv.list_secrets("a", mount_point="one"), data)
    step("kv1 empty", lambda: kv.create_or_update_secret("empty", {}, mount_point="one"))
    step("kv1 delete", lambda: kv.delete_secret("app", mount_point="one"))
    step("kv1 read nothing", lambda: kv.read_secret("app", mount_point="one"))
    step("kv1 list nothing", lambda: kv.list_secrets("none", mount_point="one"))
    step("kv1 by the old calls", lambda: root.write("one/old", a="b"))
    step("kv1 old read", lambda: root.read("one/old"))
    step("kv1 old read of nothing", lambda: root.read("one/none"))
    step("kv1 old list", lambda: root.list("one"), data)
    step("kv1 old delete", lambda: root.delete("one/old"))
    step("kv1 disable", lambda: root.sys.disable_secrets_engine("one"))
    step("kv1 gone", lambda: kv.read_secret("a/b/c", mount_point="one"))


def policies(root):
    rules = 'path "secret/data/app" { capabilities = ["read", "list"] }\npath "auth/token/*" { policy = "sudo" }'
    step("policy create", lambda: root.sys.create_or_update_policy("web", rules))
    step("policy as an object", lambda: root.sys.create_or_update_policy(
        "json", {"path": {"secret/*": {"capabilities": ["create", "deny"]}}}))
    step("policy read", lambda: root.sys.read_policy("web"))
    step("policy list", root.sys.list_policies)
    step("policy by get_policy", lambda: root.get_policy("json"))
    step("policy of bad rules", lambda: root.sys.create_or_update_policy("bad", 'path "a" { capabilities = ["fly"] }'))
    step("policy of no rules", lambda: root.sys.create_or_update_policy("bad", "path"))
    step("policy delete", lambda: root.sys.delete_policy("json"))
    step("policy read nothing", lambda: root.sys.read_policy("json"))
    step("policy delete root", lambda: root.sys.delete_policy("root"))
    step("policy delete default", lambda: root.sys.delete_policy("default"))
    step("acl create", lambda: root.sys.create_or_update_acl_policy("Acl", rules))
    step("acl read", lambda: root.sys.read_acl_policy("ACL"))
    step("acl list", root.sys.list_acl_policies)
    step("acl delete", lambda: root.sys.delete_acl_policy("acl"))
    step("acl read nothing", lambda: root.sys.read_acl_policy("acl"))


def tokens(root):
    calls = root.auth.token
    made = step("token create", lambda: calls.create(
        policies=["web", "default"], meta={"who": "ann"}, ttl="1h", explicit_max_ttl="2h", display_name="Ann's", num_uses=0))
    token, accessor = made["auth"]["client_token"], made["auth"]["accessor"]
    step("token lookup", lambda: calls.lookup(token))
    step("token lookup by accessor", lambda: calls.lookup_accessor(accessor))
    step("token lookup self", lambda: client(token).auth.token.lookup_self(), data)
    step("token is authenticated", lambda: client(token).is_authenticated())
    step("token is not authenticated", lambda: client("hvs.nothing").is_authenticated())
    step("token renew", lambda: calls.renew(token, increment="30m"), auth)
    step("token renew too far", lambda: calls.renew(token, increment="9h"))
    step("token renew self", lambda: client(token).auth.token.renew_self(), auth)
    step("token renew by accessor", lambda: calls.renew_accessor(accessor, increment=600), auth)
    step("token old lookup", lambda: root.lookup_token(token), data)
    step("token old renew", lambda: root.renew_token(token), auth)
    child = step("token child", lambda: client(token).auth.token.create(policies=["web"]))
    step("token child of more", lambda: client(token).auth.token.create(policies=["root"]))
    step("token revoke and orphan", lambda: calls.revoke_and_orphan_children(token))
    step("token lookup of a revoked one", lambda: calls.lookup(token))
    step("token child lives", lambda: calls.lookup(child["auth"]["client_token"])["data"]["orphan"])
    step("token revoke by accessor", lambda: calls.revoke_accessor(child["auth"]["accessor"]))
    step("token accessor of nothing", lambda: calls.lookup_accessor(child["auth"]["accessor"]))
    step("token use of a revoked one", lambda: client(token).auth.token.lookup_self())
    orphan = step("token orphan", lambda: calls.create_orphan(policies=["web"], period="24h", no_default_policy=True))
    step("token orphan's lookup", lambda: calls.lookup(orphan["auth"]["client_token"]), data)
    step("token revoke", lambda: calls.revoke(orphan["auth"]["client_token"]))
    step("token revoke again", lambda: calls.revoke(orphan["auth"]["client_token"]))
    batch = step("token batch", lambda: calls.create(type="batch", policies=["web"], ttl="10m"))
    step("token batch lookup", lambda: calls.lookup(batch["auth"]["client_token"]), data)
    step("token batch renew", lambda: calls.renew(batch["auth"]["client_token"]))
    step("token batch revoke", lambda: calls.revoke(batch["auth"]["client_token"]))
    few = step("token of two uses", lambda: calls.create(num_uses=2, policies=["default"]), auth)
    used = client(few["auth"]["client_token"])
    for number in range(3):
        step(f"token use {number + 1}", lambda: used.auth.token.lookup_self()["data"]["num_uses"])
    step("token of no parent", lambda: calls.create(no_parent=True, renewable=False), auth)
    step("token with an id", lambda: calls.create(id="my-own-id", policies=["default"]))
    step("token of a bad ttl", lambda: calls.create(ttl="soon"))
    step("token of a bad type", lambda: calls.create(type="magic"))
    mine = calls.create(policies=["default"])["auth"]["client_token"]
    step("token revoke self", lambda: client(mine).auth.token.revoke_self())
    step("token revoked itself", lambda: client(mine).auth.token.lookup_self())
    step("token accessors", lambda: len(calls.list_accessors()["data"]["keys"]) > 3)
    step("token tidy", lambda: calls.tidy())
    logged = client(calls.create(policies=["default"])["auth"]["client_token"])
    step("token logout", lambda: logged.logout(revoke_token=True))
    step("token none", lambda: client(None).secrets.kv.v2.read_secret("app", raise_on_deleted_version=True))
    step("token denied", lambda: client(calls.create(policies=["default"])["auth"]["client_token"]).sys.list_policies())


def roles(root):
    calls = root.auth.token
    step("role list of none", calls.list_roles)
    step("role create", lambda: calls.create_or_update_role(
        "web", allowed_policies=["web"], disallowed_policies=["root"], orphan=True, renewable=True,
        path_suffix="team", token_period="2h"))
    step("role read", lambda: calls.read_role("web"))
    step("role list", calls.list_roles, data)
    made = step("role token", lambda: calls.create(role_name="web", policies=["web"]))
    step("role token's lookup", lambda: calls.lookup(made["auth"]["client_token"]), data)
    step("role token of another policy", lambda: calls.create(role_name="web", policies=["json"]))
    step("role of nothing", lambda: calls.create(role_name="none"))
    step("role update", lambda: calls.create_or_update_role("web", renewable=False, token_explicit_max_ttl=3600))
    step("role updated", lambda: calls.read_role("web"), data)
    step("role delete", lambda: calls.delete_role("web"))
    step("role read nothing", lambda: calls.read_role("web"))


def wrapping(root):
    wrapped = step("wrap", lambda: root.sys.wrap(payload={"a": "b", "n": 1}, ttl=120))
    token = wrapped["wrap_info"]["token"]
    step("wrap lookup", lambda: root.write("sys/wrapping/lookup", token=token))
    rewrapped = step("wrap rewrap", lambda: root.write("sys/wrapping/rewrap", token=token))
    step("unwrap what was rewrapped", lambda: root.sys.unwrap(token))
    step("unwrap", lambda: root.sys.unwrap(rewrapped["wrap_info"]["token"]), data)
    step("unwrap again", lambda: root.sys.unwrap(rewrapped["wrap_info"]["token"]))
    wrapped = root.auth.token.create(policies=["default"], wrap_ttl="2m")
    step("wrap a token", lambda: wrapped)
    step("unwrap by its own token", lambda: client(wrapped["wrap_info"]["token"]).sys.unwrap(), auth)
    step("unwrap nothing", lambda: client("hvs.none").sys.unwrap())
    root.secrets.kv.v2.create_or_update_secret("wrapped", {"a": "b"})
    wrapped = step("wrap a read", lambda: root.read("secret/data/wrapped", wrap_ttl="90s"))
    step("unwrap a read", lambda: root.sys.unwrap(wrapped["wrap_info"]["token"]), lambda answer: answer["data"]["data"])
    wrapped = root.sys.wrap(payload={"x": "y"})["wrap_info"]["token"]
    step("unwrap by the old path", lambda: client(wrapped).read("cubbyhole/response"), data)


def mounts(root):
    sys = root.sys
    step("mounts list", sys.list_mounted_secrets_engines, lambda answer: sorted(answer["data"]))
    step("mounts enable", lambda: sys.enable_secrets_engine(
        "kv", path="team/kv", description="the team's", options={"version": "2"},
        config={"default_lease_ttl": "1h", "max_lease_ttl": "2h", "listing_visibility": "unauth"}))
    step("mounts enable again", lambda: sys.enable_secrets_engine("kv", path="team/kv"))
    step("mounts enable below", lambda: sys.enable_secrets_engine("kv", path="team/kv/deeper"))
    step("mounts of no such type", lambda: sys.enable_secrets_engine("magic", path="x"))
    step("mounts one", lambda: sys.list_mounted_secrets_engines()["data"]["team/kv/"])
    step("mounts option", lambda: sys.retrieve_mount_option("team/kv", "version"))
    step("mounts no option", lambda: sys.retrieve_mount_option("team/kv", "none", "1"))
    step("mounts configuration", lambda: sys.read_mount_configuration("team/kv"))
    step("mounts tune", lambda: sys.tune_mount_configuration(
        "team/kv", default_lease_ttl="30m", max_lease_ttl=7200, description="tuned",
        audit_non_hmac_request_keys=["a"], audit_non_hmac_response_keys=["b"], listing_visibility="hidden",
        passthrough_request_headers=["X-A"], options={"version": "2"}, force_no_cache=True))
    step("mounts tuned", lambda: sys.read_mount_configuration("team/kv"), data)
    step("mounts tune badly", lambda: sys.tune_mount_configuration("team/kv", default_lease_ttl="9h"))
    step("mounts tune nothing", lambda: sys.tune_mount_configuration("none", description="x"))
    # Version 2 is ready a moment after it was mounted.
    def put():
        try:
            return root.secrets.kv.v2.create_or_update_secret("a", {"b": "c"}, mount_point="team/kv")
        except exceptions.VaultError:
            return None
    until(put)
    step("mounts move", lambda: sys.move_backend("team/kv", "moved"), lambda answer: sorted(answer["data"]))
    def there():
        return "moved/" in sys.list_mounted_secrets_engines()["data"]
    until(there)
    def get():
        try:
            return root.secrets.kv.v2.read_secret("a", mount_point="moved", raise_on_deleted_version=True)
        except exceptions.VaultError:
            return None
    step("mounts moved", lambda: until(get)["data"]["data"])
    step("mounts moved from", lambda: root.secrets.kv.v2.read_secret("a", mount_point="team/kv"))
    step("mounts move nothing", lambda: sys.move_backend("none", "other"))
    step("mounts disable", lambda: sys.disable_secrets_engine("moved"))
    step("mounts disable nothing", lambda: sys.disable_secrets_engine("moved"))
    step("auth list", lambda: sorted(sys.list_auth_methods()["data"]))
    step("auth tuning", lambda: sys.read_auth_method_tuning("token"))
    step("auth tune", lambda: sys.tune_auth_method("token", description="the tokens", max_lease_ttl="48h"))
    step("auth tuned", lambda: sys.read_auth_method_tuning("token"), data)
    step("auth tune of nothing", lambda: sys.tune_auth_method("none", description="x"))
    step("auth of no such type", lambda: sys.enable_auth_method("magic"))
    step("auth disable token", lambda: sys.disable_auth_method("token"))
    step("auth disable nothing", lambda: sys.disable_auth_method("none"))
    step("audit list", sys.list_enabled_audit_devices)


def system(root):
    sys = root.sys
    step("sys initialized", sys.is_initialized)
    step("sys init status", sys.read_init_status)
    step("sys sealed", sys.is_sealed)
    step("sys seal status", sys.read_seal_status)
    step("sys health by HEAD", sys.read_health_status)
    step("sys health", lambda: sys.read_health_status(method="GET"))
    step("sys health of codes", lambda: sys.read_health_status(method="GET", active_code=299, standby_ok=True))
    step("sys leader", sys.read_leader_status)
    step("sys ha status", lambda: root.ha_status)
    step("sys key status", sys.get_encryption_key_status, lambda answer: sorted(answer["data"]))
    step("sys rotate", sys.rotate_encryption_key)
    step("sys key status by property", lambda: root.key_status, sorted)
    step("sys capabilities", lambda: sys.get_capabilities(["secret/data/app", "sys/mounts"]), data)
    web = root.auth.token.create(policies=["web"])["auth"]
    step("sys capabilities of a token", lambda: sys.get_capabilities(["secret/data/app", "x"], token=web["client_token"]))
    step("sys capabilities by accessor", lambda: sys.get_capabilities(["secret/data/app"], accessor=web["accessor"]), data)
    step("sys capabilities of nothing", lambda: sys.get_capabilities(["x"], token="hvs.none"))
    step("sys capabilities of one's own", lambda: client(web["client_token"]).sys.get_capabilities(["secret/data/app"]), data)
    step("sys hash", lambda: root.write_data("sys/tools/hash/sha2-512", data={"input": "aGVsbG8=", "format": "hex"}), data)
    step("sys random", lambda: len(root.write_data("sys/tools/random/16", data={"format": "hex"})["data"]["random_bytes"]))
    step("sys leases", lambda: sys.list_leases("auth/none/"))
    step("sys lease of nothing", lambda: sys.read_lease("auth/none/x"))
    step("sys renew of nothing", lambda: sys.renew_lease("auth/none/x"))
    step("sys revoke of nothing", lambda: sys.revoke_lease("auth/none/x"))
    step("sys revoke a prefix", lambda: sys.revoke_prefix("auth/none"))
    step("sys revoke by force", lambda: sys.revoke_force("auth/none"))
    step("sys root generation", sys.read_root_generation_progress)
    step("sys root generation by property", lambda: root.generate_root_status)
    step("sys start root generation", sys.start_root_token_generation)
    step("sys cancel root generation", sys.cancel_root_generation)
    step("sys unsupported", lambda: root.read("sys/nothing"))
    step("sys no mount", lambda: root.read("nothing/at/all"))
    step("sys seal", sys.seal)
    step("sys is sealed", sys.is_sealed)
    step("sys health of a sealed one", lambda: sys.read_health_status(method="GET"))
    step("sys read while sealed", lambda: root.secrets.kv.v2.read_secret("a", raise_on_deleted_version=True))
    step("sys bad key", lambda: sys.submit_unseal_key("abc"))
    step("sys reset", lambda: sys.submit_unseal_key(reset=True))


everything = client()
for part in (kv2, kv1, policies, tokens, roles, wrapping, mounts, system):
    part(everything)
