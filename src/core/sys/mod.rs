//! `sys/*`: the server's own endpoints, one file an area. Each area has a table of its routes; dispatch, help and the
//! OpenAPI document read the same tables.

mod attempts;
mod capabilities;
mod cluster;
mod config;
mod describe;
mod generate_root;
mod help;
mod host;
mod keys;
mod leases;
mod mounts;
mod node;
mod openapi;
mod plugins;
mod policies;
mod public;
mod rekey;
mod remount;
mod settings;
mod tools;
mod tune;
mod ui;

pub(crate) use attempts::Attempts;
pub(super) use keys::schedule;
pub(super) use openapi::Documents;

use futures_util::future::BoxFuture;

use super::authorize::Authorized;
use super::mount::Class;
use super::wrap;
use super::{Core, Error, Operation, Request, Response, Result, Unsealed};
use crate::barrier::BarrierTxn;
use crate::logical::route::{Params, Route};

/// One request at one route.
pub(crate) struct Ask<'a> {
    /// Keyring and secrets.
    pub unsealed: &'a Unsealed,
    /// The request's transaction.
    pub txn: &'a mut BarrierTxn,
    /// Who asks, and what the policies say.
    pub authorized: &'a Authorized,
    /// The request itself.
    pub request: &'a Request,
    /// The route that it came by.
    pub route: &'static Route,
    /// What stood for the names of the route's pattern.
    pub params: Params<'a>,
}

impl Ask<'_> {
    /// The route's pattern and the operation, a create being an update.
    fn at(&self) -> (&'static str, Operation) {
        (self.route.pattern, written(self.authorized.operation))
    }

    /// The first parameter; empty if the pattern has none.
    fn param(&self) -> &str {
        self.params.first().copied().unwrap_or_default()
    }
}

/// A create is an update: nothing here makes a difference between them.
fn written(operation: Operation) -> Operation {
    if operation == Operation::Create { Operation::Update } else { operation }
}

/// What serves the routes of one area.
type Serve = for<'a> fn(&'a Core, Ask<'a>) -> BoxFuture<'a, Result<Response>>;

/// Routes and who serves them.
struct Area {
    routes: &'static [Route],
    serve: Serve,
}

static AREAS: &[Area] = &[
    // Before `mounts/{path...}`, which fits its paths too.
    Area { routes: tune::ROUTES, serve: |core, ask| Box::pin(core.sys_tune(ask)) },
    Area { routes: mounts::ROUTES, serve: |core, ask| Box::pin(core.sys_mounts(ask, Class::Secret)) },
    Area { routes: mounts::AUTH_ROUTES, serve: |core, ask| Box::pin(core.sys_mounts(ask, Class::Auth)) },
    Area { routes: ui::ROUTES, serve: |core, ask| Box::pin(core.sys_ui(ask)) },
    Area { routes: policies::ROUTES, serve: |core, ask| Box::pin(core.sys_policies(ask)) },
    Area { routes: capabilities::ROUTES, serve: |core, ask| Box::pin(core.sys_capabilities(ask)) },
    Area {
        routes: wrap::ROUTES,
        serve: |core, ask| Box::pin(core.sys_wrapping(ask.unsealed, ask.txn, ask.request, ask.route.pattern)),
    },
    Area { routes: keys::ROUTES, serve: |core, ask| Box::pin(core.sys_keys(ask)) },
    Area { routes: cluster::ROUTES, serve: |core, ask| Box::pin(core.sys_cluster(ask)) },
    Area { routes: leases::ROUTES, serve: |core, ask| Box::pin(core.sys_leases(ask)) },
    Area { routes: remount::ROUTES, serve: |core, ask| Box::pin(core.sys_remount(ask)) },
    Area { routes: tools::ROUTES, serve: |core, ask| Box::pin(core.sys_tools(ask)) },
    Area { routes: config::ROUTES, serve: |core, ask| Box::pin(core.sys_config(ask)) },
    Area { routes: node::ROUTES, serve: |core, ask| Box::pin(core.sys_node(ask)) },
    Area { routes: plugins::ROUTES, serve: |core, ask| Box::pin(core.sys_plugins(ask)) },
    Area { routes: openapi::ROUTES, serve: |core, ask| Box::pin(core.sys_openapi(ask)) },
    Area { routes: generate_root::ROUTES, serve: |core, ask| Box::pin(core.sys_generate_root(ask)) },
    Area { routes: rekey::ROUTES, serve: |core, ask| Box::pin(core.sys_rekey(ask)) },
    Area { routes: public::ROUTES, serve: |core, ask| Box::pin(core.sys_public(ask)) },
];

/// All routes of the system mount.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> {
    AREAS.iter().flat_map(|area| area.routes)
}

impl Core {
    /// Serves the system mount.
    pub(crate) async fn sys(
        &self,
        unsealed: &Unsealed,
        txn: &mut BarrierTxn,
        authorized: &Authorized,
        request: &Request,
    ) -> Result<Response> {
        let path = authorized.rest.as_str();
        let operation = written(authorized.operation);
        if operation == Operation::Update && path.ends_with('/') {
            return Err(Error::invalid("cannot write to a path ending in '/'"));
        }
        let (area, route, params) = find(path).ok_or_else(unsupported_path)?;
        if !route.serves(operation) {
            return Err(Error::Unsupported);
        }
        let response = (area.serve)(self, Ask { unsealed, txn, authorized, request, route, params }).await?;
        Ok(route.warn(request, response))
    }
}

fn find(path: &str) -> Option<(&'static Area, &'static Route, Params<'_>)> {
    let found =
        AREAS.iter().find_map(|area| Route::find(area.routes, path).map(|(route, params)| (area, route, params)));
    // `mounts/` names no mount, and is not `mounts` either: a policy may deny that.
    found.filter(|(_, route, params)| params.first() != Some(&"") || route.serves(Operation::List))
}

/// The error of a path that the mount does not know.
pub(crate) fn unsupported_path() -> Error {
    Error::NoRoute("1 error occurred:\n\t* unsupported path\n\n".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with nothing in it.
    pub(super) fn request(path: &str) -> Request {
        Request {
            id: "test".into(),
            operation: Operation::Update,
            path: path.into(),
            data: Default::default(),
            token: None,
            wrap_ttl: None,
            client: Default::default(),
            headers: Default::default(),
        }
    }

    #[test]
    fn no_route_hides_another() {
        let all: Vec<&Route> = routes().collect();
        for route in &all {
            let path = route.pattern.replace("...}", "}").replace(['{', '}'], "");
            let found = find(&path).map(|(_, found, _)| found.pattern);
            assert_eq!(found, Some(route.pattern), "{path}");
            let of_it = all.iter().filter(|other| other.pattern == route.pattern).count();
            assert_eq!(of_it, 1, "{}", route.pattern);
        }
    }
}
