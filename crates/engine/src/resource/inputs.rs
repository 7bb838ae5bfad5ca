//! The inputs of a resource: attributes of other resources.

use crate::model::failure::{Class, Failure};
use crate::resource::json::from_json;
use crate::resource::readiness::{Edge, Readiness, Values};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;

/// A reference to the future attributes of a resource in the graph. It is cheap to copy.
pub struct Handle<A> {
    node: usize,
    readiness: Readiness,
    attrs: PhantomData<fn() -> A>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Handle<A> {}

impl<A> Handle<A> {
    /// Creates a reference to the attributes of the node at this index, which must be ready.
    pub(crate) fn new(node: usize) -> Self {
        Self { node, readiness: Readiness::Ready, attrs: PhantomData }
    }

    /// Reduces the dependency: the resource must have been created, but need not be ready. A DNS record, for example,
    /// needs the name of a load balancer, but the load balancer need not be active yet.
    #[must_use]
    pub fn created(self) -> Self {
        Self { readiness: Readiness::Created, ..self }
    }
}

/// The inputs of a resource: a [`Handle`], an [`Input`], a `Vec` or an `Option` of inputs, or a tuple of up to eight
/// inputs. The empty tuple means that there are no inputs.
pub trait Inputs: Send + Sync + 'static {
    /// The attributes of the inputs, in the same structure as the inputs.
    type Attrs;
    #[doc(hidden)]
    fn edges(&self, edges: &mut Vec<Edge>);
    #[doc(hidden)]
    fn attrs(&self, values: &Values) -> Result<Self::Attrs, Failure>;
}

impl<A: DeserializeOwned + 'static> Inputs for Handle<A> {
    type Attrs = A;

    fn edges(&self, edges: &mut Vec<Edge>) {
        edges.push(Edge { node: self.node, readiness: self.readiness });
    }

    fn attrs(&self, values: &Values) -> Result<A, Failure> {
        let missing = || Failure::new(Class::Bug, "compute a spec", "an input is not known yet");
        from_json("attributes", values.get(self.node).and_then(Option::as_ref).ok_or_else(missing)?)
    }
}

type Make<T> = dyn Fn(&Values) -> Result<T, Failure> + Send + Sync;

/// A value that is computed from attributes or known in advance. A concern that takes its inputs in this form does not
/// depend on other concerns: an `Input<String>` can be the id of a subnet, whether or not the subnet belongs to this
/// graph.
pub struct Input<T> {
    edges: Vec<Edge>,
    make: Arc<Make<T>>,
}

impl<T> Clone for Input<T> {
    fn clone(&self) -> Self {
        Self { edges: self.edges.clone(), make: Arc::clone(&self.make) }
    }
}

impl<T: 'static> Input<T> {
    /// Creates a value that `make` computes from the attributes of `inputs`.
    pub fn of<I: Inputs>(inputs: I, make: impl Fn(I::Attrs) -> T + Send + Sync + 'static) -> Self {
        let mut edges = Vec::new();
        inputs.edges(&mut edges);
        Self { edges, make: Arc::new(move |values| Ok(make(inputs.attrs(values)?))) }
    }
}

impl<T: Clone + Send + Sync + 'static> Input<T> {
    /// Creates a value that is known in advance.
    pub fn known(value: T) -> Self {
        Self { edges: Vec::new(), make: Arc::new(move |_| Ok(value.clone())) }
    }
}

impl<A: DeserializeOwned + 'static> Handle<A> {
    /// Creates a value that `make` computes from the attributes of the resource.
    pub fn map<T: 'static>(self, make: impl Fn(A) -> T + Send + Sync + 'static) -> Input<T> {
        Input::of(self, make)
    }
}

impl<T: 'static> Inputs for Input<T> {
    type Attrs = T;

    fn edges(&self, edges: &mut Vec<Edge>) {
        edges.extend_from_slice(&self.edges);
    }

    fn attrs(&self, values: &Values) -> Result<T, Failure> {
        (self.make)(values)
    }
}

impl<I: Inputs> Inputs for Vec<I> {
    type Attrs = Vec<I::Attrs>;

    fn edges(&self, edges: &mut Vec<Edge>) {
        self.iter().for_each(|input| input.edges(edges));
    }

    fn attrs(&self, values: &Values) -> Result<Self::Attrs, Failure> {
        self.iter().map(|input| input.attrs(values)).collect()
    }
}

impl<I: Inputs> Inputs for Option<I> {
    type Attrs = Option<I::Attrs>;

    fn edges(&self, edges: &mut Vec<Edge>) {
        self.iter().for_each(|input| input.edges(edges));
    }

    fn attrs(&self, values: &Values) -> Result<Self::Attrs, Failure> {
        self.as_ref().map(|input| input.attrs(values)).transpose()
    }
}

macro_rules! tuple_inputs {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Inputs),*> Inputs for ($($name,)*) {
            type Attrs = ($($name::Attrs,)*);

            #[expect(clippy::allow_attributes, reason = "the empty tuple leaves a parameter unused")]
            #[allow(unused_variables)]
            fn edges(&self, edges: &mut Vec<Edge>) {
                $(self.$index.edges(edges);)*
            }

            #[expect(clippy::allow_attributes, reason = "the empty tuple leaves a parameter unused")]
            #[allow(unused_variables, clippy::unused_unit)]
            fn attrs(&self, values: &Values) -> Result<Self::Attrs, Failure> {
                Ok(($(self.$index.attrs(values)?,)*))
            }
        }
    };
}

tuple_inputs!();
tuple_inputs!(A 0);
tuple_inputs!(A 0, B 1);
tuple_inputs!(A 0, B 1, C 2);
tuple_inputs!(A 0, B 1, C 2, D 3);
tuple_inputs!(A 0, B 1, C 2, D 3, E 4);
tuple_inputs!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple_inputs!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple_inputs!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
