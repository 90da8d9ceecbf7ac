//! Who is told of what is run: trace and profile functions, and since 3.12 tools that monitor (PEP 669).

use crate::capi::{self, Object};
use pyo3::ffi;

/// Functions that answer None where nobody is, and their arguments. Made before, for a question is asked in each run.
pub struct Watchers(Vec<(Object, Object)>);

impl Watchers {
    /// How to ask this interpreter.
    pub fn find() -> Option<Watchers> {
        /// The numbers that a tool may have (`sys.monitoring.use_tool_id`).
        const TOOLS: std::ffi::c_long = 6;
        // SAFETY: the GIL is held; live objects.
        unsafe {
            let none = Object::own(ffi::PyTuple_New(0))?;
            let none = || Object::share(none.raw());
            let mut questions = vec![(capi::sys(c"gettrace")?, none()?), (capi::sys(c"getprofile")?, none()?)];
            if let Some(monitoring) = capi::sys(c"monitoring") {
                for number in 0..TOOLS {
                    let number = Object::own(ffi::PyLong_FromLong(number))?;
                    let arguments = Object::own(ffi::PyTuple_Pack(1, number.raw()))?;
                    questions.push((monitoring.attribute(c"get_tool")?, arguments));
                }
            }
            Some(Watchers(questions))
        }
    }

    /// Is there nobody?
    pub fn are_none(&self) -> bool {
        // SAFETY: the GIL is held; live objects.
        self.0.iter().all(|(question, arguments)| unsafe {
            let answer = Object::own(ffi::PyObject_CallObject(question.raw(), arguments.raw()));
            answer.is_some_and(|answer| answer.raw() == ffi::Py_None())
        })
    }
}
