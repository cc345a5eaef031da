fn main() {
    let s = probe::collect().unwrap();
    for f in s.interfaces() {
        let v = probe::judge(&s, f, &probe::Needs::default());
        println!("{} {:?}\n  {:#?}", f.link.name, f.driver, v.native);
    }
}
