//! Routes with what they ask for.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::guard::{Rule, Surface, guard};
use super::{Access, Object, costly};
use crate::state::App;

/// One line of the authorisation table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub method: Method,
    pub path: String,
    pub access: Access,
    pub object: Object,
    pub surface: Surface,
}

/// Routes under a prefix, each behind its guard.
pub struct Routes {
    app: App,
    surface: Surface,
    prefix: &'static str,
    router: Router<App>,
    table: Vec<Route>,
}

impl Routes {
    pub fn new(app: &App, surface: Surface, prefix: &'static str) -> Routes {
        Routes {
            app: app.clone(),
            surface,
            prefix,
            router: Router::new(),
            table: Vec::new(),
        }
    }

    pub fn get<H, T>(self, path: &str, access: Access, object: Object, handler: H) -> Routes
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(
            Method::GET,
            path,
            (access, object),
            on(MethodFilter::GET, handler),
        )
    }

    pub fn post<H, T>(self, path: &str, access: Access, object: Object, handler: H) -> Routes
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(
            Method::POST,
            path,
            (access, object),
            on(MethodFilter::POST, handler),
        )
    }

    pub fn put<H, T>(self, path: &str, access: Access, object: Object, handler: H) -> Routes
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(
            Method::PUT,
            path,
            (access, object),
            on(MethodFilter::PUT, handler),
        )
    }

    pub fn patch<H, T>(self, path: &str, access: Access, object: Object, handler: H) -> Routes
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(
            Method::PATCH,
            path,
            (access, object),
            on(MethodFilter::PATCH, handler),
        )
    }

    pub fn delete<H, T>(self, path: &str, access: Access, object: Object, handler: H) -> Routes
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.add(
            Method::DELETE,
            path,
            (access, object),
            on(MethodFilter::DELETE, handler),
        )
    }

    fn add(
        mut self,
        method: Method,
        path: &str,
        (access, object): (Access, Object),
        handlers: MethodRouter<App>,
    ) -> Routes {
        let route = Route {
            method,
            path: format!("{}{path}", self.prefix),
            access,
            object,
            surface: self.surface,
        };
        let rule = Rule {
            costly: costly::is(&route.method, &route.path),
            ..self.rule(access, object)
        };
        let handlers = handlers.route_layer(from_fn_with_state((self.app.clone(), rule), guard));
        self.router = self.router.route(&route.path, handlers);
        self.table.push(route);
        self
    }

    /// A router that knows nothing of access, with the routes it has, behind one guard for all.
    pub fn all_of(
        mut self,
        routes: &[(Method, &str)],
        access: Access,
        router: Router<App>,
    ) -> Routes {
        let rule = self.rule(access, Object::None);
        let router = router.route_layer(from_fn_with_state((self.app.clone(), rule), guard));
        self.router = self.router.merge(router);
        self.table.extend(routes.iter().map(|(method, path)| Route {
            method: method.clone(),
            path: (*path).to_owned(),
            access,
            object: Object::None,
            surface: self.surface,
        }));
        self
    }

    /// Wraps what was added so far, as with [`Router::layer`].
    pub fn wrapped(mut self, layer: impl FnOnce(Router<App>) -> Router<App>) -> Routes {
        self.router = layer(self.router);
        self
    }

    pub fn merge(mut self, other: Routes) -> Routes {
        self.router = self.router.merge(other.router);
        self.table.extend(other.table);
        self
    }

    /// All routes and what they ask for.
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    pub fn into_router(self) -> Router<App> {
        self.router
    }

    fn rule(&self, access: Access, object: Object) -> Rule {
        Rule {
            access,
            object,
            surface: self.surface,
            costly: false,
        }
    }
}
