use super::super::Kind;
use super::*;

fn row() -> Row {
    let mut row = Row::new(Kind::Server, 3, 1);
    row.set(Field::Pxname, "shop");
    row.set(Field::Svname, "a");
    row.set(Field::Scur, 7_u32);
    row.set(Field::Status, "UP 1/3");
    row.set(Field::Lastsess, -1);
    row.set(Field::LastChk, "said \"no\", twice");
    row
}

#[test]
fn header_and_rows_have_the_same_number_of_columns_and_end_with_a_comma() {
    let text = csv([&Row::new(Kind::Backend, 3, 0)]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,"));
    assert!(lines[0].ends_with(",uweight,agg_server_status,agg_server_check_status,agg_check_status,-,"));
    assert_eq!(lines[0].matches(',').count(), lines[1].matches(',').count());
    assert!(lines[1].ends_with(",-,"));
}

#[test]
fn what_would_break_a_line_is_quoted() {
    let mut line = String::new();
    csv_row(&row(), &mut line);
    assert!(line.starts_with("shop,a,,,7,,"), "{line}");
    assert!(line.contains(",-1,\"said \"\"no\"\", twice\",,"), "{line}");
}

#[test]
fn only_what_is_set_is_in_the_typed_format() {
    assert_eq!(
        typed([&row()], false),
        "S.3.1.0.pxname.1:KNS:str:shop\nS.3.1.1.svname.1:KNS:str:a\nS.3.1.4.scur.1:MGP:u32:7\n\
         S.3.1.17.status.1:SGP:str:UP 1/3\nS.3.1.55.lastsess.1:MAP:s32:-1\n\
         S.3.1.56.last_chk.1:MOP:str:said \"no\", twice\n"
    );
    assert!(typed([&row()], true).starts_with("S.3.1.0.pxname.1:KNS:str:shop:\"Proxy name\"\n"));
}

#[test]
fn json_says_the_same() {
    let text = json([&row(), &row()]);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.as_array().unwrap().len(), 2);
    assert_eq!(
        value[0][2],
        serde_json::json!({
            "objType": "Server", "proxyId": 3, "id": 1, "field": { "pos": 4, "name": "scur" }, "processNum": 1,
            "tags": { "origin": "Metric", "nature": "Gauge", "scope": "Process" },
            "value": { "type": "u32", "value": 7 },
        })
    );
    serde_json::from_str::<serde_json::Value>(SCHEMA).unwrap();
}

#[test]
fn info_is_a_line_each_in_both_formats() {
    let some = Info::fill(|field| (field == InfoField::Uptime).then(|| "0d 0h00m02s".into()));
    assert_eq!(info(&some, false), "Uptime: 0d 0h00m02s\n");
    assert_eq!(info_typed(&some, false), "7.Uptime.1:MDP:str:0d 0h00m02s\n");
    let value: serde_json::Value = serde_json::from_str(&info_json(&some)).unwrap();
    assert_eq!(value[0]["field"]["pos"], 7);
}
