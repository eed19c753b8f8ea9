// Calls of node-vault, each with what came of it: run against two servers, the output must be the same.
//
//     node node_vault_calls.js ADDRESS ROOT_TOKEN
//
// The server is in development mode, with KV version 2 at secret/. A line is `step: what the call returned`, as JSON with
// what differs from run to run (ids, tokens, times) made alike, or `step: !status: message`.

'use strict';

const [address, root] = process.argv.slice(2);
const client = (token = root) => require('node-vault')({ endpoint: address, token });

const ALIKE = [
    [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, 'UUID'],
    [/\d{4}-\d{2}-\d{2}T[0-9:.]+(Z|[+-]\d{2}:\d{2})/g, 'TIME'],
    [/\b(hv[sbr]|[sb])\.[A-Za-z0-9_-]{20,}/g, 'TOKEN'],
    [/_[0-9a-f]{8}\b/g, '_ID'],
    [/\b[A-Za-z0-9]{24}\b/g, 'ACCESSOR'],
    [/vault-cluster-[0-9a-f]{8}/g, 'CLUSTER'],
    [/v[0-9.]+\+builtin\.\w+/g, 'BUILTIN'],
    [/OpenBao|Vault|Holdfast/g, 'PRODUCT'],
    [/'(bao|vault) /g, "'vault "],
];
const MOMENTS = ['creation_time', 'last_renewal_time', 'server_time_utc'];

function alike(value, key) {
    if (Array.isArray(value)) return value.map((item) => alike(item));
    if (value && typeof value === 'object') {
        return Object.fromEntries(Object.keys(value).sort().map((name) => [name, alike(value[name], name)]));
    }
    if (MOMENTS.includes(key) && typeof value === 'number') return 'UNIX';
    // A second may have passed since the token was made.
    if (['ttl', 'lease_duration'].includes(key) && value % 60 === 59) return value + 1;
    if (key === 'version' && String(value).includes('.')) return 'VERSION';
    if (key === 'otp' && value) return 'OTP';
    if (typeof value !== 'string') return value;
    return ALIKE.reduce((text, [pattern, name]) => text.replace(pattern, name), value);
}

async function step(name, call, show = (answer) => answer) {
    try {
        const answer = await call();
        // The client goes over to a token that it has made; the calls here go on as before.
        if (everything.token !== root) everything.token = root;
        console.log(`${name}: ${JSON.stringify(alike(show(answer)) ?? null)}`);
        return answer;
    } catch (error) {
        if (!error.response) throw error;
        console.log(`${name}: !${error.response.statusCode}: ${JSON.stringify(alike(error.message))}`);
        return null;
    }
}

const data = (answer) => answer.data;
const auth = (answer) => answer.auth;

async function secrets(vault) {
    await step('kv2 write', () => vault.write('secret/data/app', { data: { user: 'ann', n: 1 } }));
    await step('kv2 write with cas', () => vault.write('secret/data/app', { options: { cas: 1 }, data: { user: 'bob' } }));
    await step('kv2 stale cas', () => vault.write('secret/data/app', { options: { cas: 1 }, data: {} }));
    await step('kv2 read', () => vault.read('secret/data/app'));
    await step('kv2 read a version', () => vault.read('secret/data/app?version=1'), data);
    await step('kv2 update', () => vault.update('secret/data/app', { data: { more: true } }));
    await step('kv2 list', () => vault.list('secret/metadata'), data);
    await step('kv2 metadata', () => vault.read('secret/metadata/app'), data);
    await step('kv2 delete', () => vault.delete('secret/data/app'));
    await step('kv2 read a deleted one', () => vault.read('secret/data/app'));
    await step('kv2 undelete', () => vault.write('secret/undelete/app', { versions: [2] }));
    await step('kv2 destroy', () => vault.destroySecretVersions({ path: 'app', versions: [1] }));
    await step('kv2 delete all', () => vault.delete('secret/metadata/app'));
    await step('kv2 read nothing', () => vault.read('secret/data/app'));
    await step('kv2 list nothing', () => vault.list('secret/metadata/none'));
    await step('kv1 mount', () => vault.mount({ mount_point: 'one', type: 'kv', description: 'version 1' }));
    await step('kv1 write', () => vault.write('one/app', { user: 'ann', nested: { a: [1] } }));
    await step('kv1 read', () => vault.read('one/app'));
    await step('kv1 list', () => vault.list('one'), data);
    await step('kv1 delete', () => vault.delete('one/app'));
    await step('kv1 read nothing', () => vault.read('one/app'));
    await step('kv1 mounted twice', () => vault.mount({ mount_point: 'one', type: 'kv' }));
    await step('kv1 mounts', () => vault.mounts(), (answer) => [answer['one/'], answer.data['one/']]);
    await step('kv1 unmount', () => vault.unmount({ mount_point: 'one' }));
    await step('help', () => vault.help('sys/policy'), (answer) => typeof answer.help);
}

async function policies(vault) {
    const rules = 'path "secret/data/*" { capabilities = ["read"] }';
    await step('policies', () => vault.policies());
    await step('policy add', () => vault.addPolicy({ name: 'web', rules }));
    await step('policy add by the new name', () => vault.addPolicy({ name: 'web2', policy: rules }));
    await step('policy add a bad one', () => vault.addPolicy({ name: 'bad', rules: 'path "a" { policy = "fly" }' }));
    await step('policy get', () => vault.getPolicy({ name: 'web' }));
    await step('policy remove', () => vault.removePolicy({ name: 'web2' }));
    await step('policy get nothing', () => vault.getPolicy({ name: 'web2' }));
}

async function tokens(vault) {
    const made = await step('token create', () =>
        vault.tokenCreate({ policies: ['web'], ttl: '1h', meta: { a: 'b' }, display_name: 'x y', renewable: true }));
    const token = made.auth.client_token;
    const accessor = made.auth.accessor;
    await step('token lookup', () => vault.tokenLookup({ token }));
    await step('token lookup by accessor', () => vault.tokenLookupAccessor({ accessor }), data);
    await step('token lookup self', () => client(token).tokenLookupSelf(), data);
    await step('token renew', () => vault.tokenRenew({ token, increment: 1800 }), auth);
    await step('token renew self', () => client(token).tokenRenewSelf({ increment: 600 }), auth);
    await step('token denied', () => client(token).policies());
    await step('token orphan', () => vault.tokenCreateOrphan({ policies: ['web'], no_default_policy: true }), auth);
    await step('role add', () => vault.addTokenRole({ role_name: 'web', allowed_policies: 'web', orphan: true, period: 3600 }));
    await step('role get', () => vault.getTokenRole({ role_name: 'web' }), data);
    await step('role list', () => vault.tokenRoles(), data);
    await step('role token', () => vault.tokenCreateRole({ role_name: 'web' }), auth);
    await step('role remove', () => vault.removeTokenRole({ role_name: 'web' }));
    await step('role get nothing', () => vault.getTokenRole({ role_name: 'web' }));
    await step('token accessors', () => vault.tokenAccessors(), (answer) => answer.data.keys.length > 2);
    const create = async () => (await client().tokenCreate({ policies: ['default'] })).auth;
    const other = await create();
    await step('token revoke by accessor', () => vault.tokenRevokeAccessor({ accessor: other.accessor }));
    await step('token revoke orphan', () => vault.tokenRevokeOrphan({ token }));
    await step('token revoke again', () => vault.tokenRevoke({ token }));
    const own = (await create()).client_token;
    await step('token revoke self', () => client(own).tokenRevokeSelf());
    await step('token use of a revoked one', () => client(own).tokenLookupSelf());
}

async function system(vault) {
    await step('status', () => vault.status());
    await step('initialized', () => vault.initialized());
    await step('health', () => vault.health());
    await step('leader', () => vault.leader());
    await step('auths', () => vault.auths(), (answer) => [Object.keys(answer).sort(), Object.keys(answer.data)]);
    await step('enable auth', () => vault.enableAuth({ mount_point: 'x', type: 'magic' }));
    await step('disable auth', () => vault.disableAuth({ mount_point: 'none' }));
    await step('audits', () => vault.audits());
    await vault.mount({ mount_point: 'from', type: 'kv' });
    await step('remount', () => vault.remount({ from: 'from', to: 'to' }), (answer) => Object.keys(answer).sort());
    await step('rotate', () => vault.rotate());
    await step('renew nothing', () => vault.renew({ lease_id: 'auth/none/x' }));
    await step('revoke nothing', () => vault.revoke({ lease_id: 'auth/none/x' }));
    await step('revoke a prefix', () => vault.revokePrefix({ path_prefix: 'auth/none' }));
    const wrapped = await step('wrap', () => vault.write('sys/wrapping/wrap', { a: 'b' }, {
        headers: { 'X-Vault-Wrap-TTL': '60s', 'X-Vault-Token': root },
    }));
    await step('unwrap', () => vault.unwrap({ token: wrapped.wrap_info.token }));
    await step('unwrap again', () => vault.unwrap({ token: wrapped.wrap_info.token }));
    await step('no such path', () => vault.read('nothing/here'));
    await step('no token', () => client('').read('secret/data/app'));
    await step('wrong token', () => client('hvs.wrong').read('secret/data/app'));
    await step('unseal with nonsense', () => vault.unseal({ key: 'abc' }));
    await step('unseal', () => vault.unseal({ key: '00'.repeat(32) }));
    await step('step down', () => vault.stepDown());
    await step('seal', () => vault.seal());
    await step('status when sealed', () => vault.status());
    await step('health when sealed', () => vault.health(), (answer) => answer.sealed);
    await step('read when sealed', () => vault.read('secret/data/app'));
}

const everything = client();
(async () => {
    for (const part of [secrets, policies, tokens, system]) await part(everything);
})();
