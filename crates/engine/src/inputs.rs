//! What a resource needs of others.

use crate::failure::{Class, Failure};
use crate::graph::{Edge, Handle, Values};
use crate::kind::from_json;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What a resource needs of others: nothing, a [`Handle`], an [`Input`], a list of them, up to eight in a
/// tuple.
pub trait Inputs: Send + Sync + 'static {
    /// The attributes, in the same shape.
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
        let missing = || Failure::new(Class::Bug, "make a spec", "an input is not there yet");
        from_json("attributes", values.get(self.node).and_then(Option::as_ref).ok_or_else(missing)?)
    }
}

type Make<T> = dyn Fn(&Values) -> Result<T, Failure> + Send + Sync;

/// One value that is made from attributes, or known from the start. A concern takes what it needs of others in this form,
/// and so knows nothing about them: `Input<String>` is a subnet's id, whether it is of this graph or not.
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
    /// What `make` makes of the attributes of `inputs`.
    pub fn of<I: Inputs>(inputs: I, make: impl Fn(I::Attrs) -> T + Send + Sync + 'static) -> Self {
        let mut edges = Vec::new();
        inputs.edges(&mut edges);
        Self { edges, make: Arc::new(move |values| Ok(make(inputs.attrs(values)?))) }
    }
}

impl<T: Clone + Send + Sync + 'static> Input<T> {
    /// A value that is known from the start.
    pub fn known(value: T) -> Self {
        Self { edges: Vec::new(), make: Arc::new(move |_| Ok(value.clone())) }
    }
}

impl<A: DeserializeOwned + 'static> Handle<A> {
    /// What `make` makes of the attributes.
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

            #[expect(clippy::allow_attributes, reason = "the empty tuple uses neither name")]
            #[allow(unused_variables)]
            fn edges(&self, edges: &mut Vec<Edge>) {
                $(self.$index.edges(edges);)*
            }

            #[expect(clippy::allow_attributes, reason = "the empty tuple uses neither name")]
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
