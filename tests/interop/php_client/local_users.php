<?php
// Print what findLocalUser finds for the claims of the first argument, in a table of three users.
require getenv('SSO_CLIENT_FILE');

class Table
{
    private $column;
    private $rows = array();

    public function prepare($sql)
    {
        preg_match('/WHERE (\w+) = \?$/', $sql, $parts);
        $this->column = $parts[1];
        return $this;
    }

    public function execute(array $values)
    {
        $users = array(
            array('id' => '7', 'nip' => '', 'surel' => 'siti@warga.example'),
            array('id' => '8', 'nip' => '198503302003121001', 'surel' => 'dua@warga.example'),
            array('id' => '9', 'nip' => '', 'surel' => 'dua@warga.example'),
        );
        $this->rows = array();
        foreach ($users as $user) {
            if ($this->folded($user[$this->column]) === $this->folded($values[0])) {
                $this->rows[] = $user;
            }
        }
    }

    /** Compare as many databases do: without accents and case. */
    private function folded($text)
    {
        return strtolower(str_replace('í', 'i', $text));
    }

    public function fetchAll($mode)
    {
        return $this->rows;
    }
}

$columns = array('local_user_id' => 'id', 'nip' => 'nip', 'email' => isset($argv[2]) ? $argv[2] : 'surel');
try {
    $row = SsoClient::findLocalUser(json_decode($argv[1], true), new Table(), 'pengguna', $columns);
    echo $row === null ? 'nobody' : $row['id'];
} catch (SsoException $error) {
    echo $error->error;
}
