<?php
defined('BASEPATH') OR exit('No direct script access allowed');

require_once APPPATH . 'third_party/SsoClient.php';

/** The session of CodeIgniter 3, with every driver of it. */
class Sso_session extends SsoPhpSession
{
    /** CodeIgniter has started it already, with its own settings. */
    public function start()
    {
    }

    /** End a session: this one (null) goes on empty under a new id. */
    public function destroy($id = null)
    {
        if ($id !== null) {
            parent::destroy($id);
            return;
        }
        $_SESSION = array();
        get_instance()->session->sess_regenerate(TRUE);
    }
}

/** Sign-in with the city's single sign-on for CodeIgniter 3: $this->load->library('sso'). */
class Sso
{
    private $client;
    private $protected;

    /** @param array $config the values of config/sso.php */
    public function __construct(array $config = array())
    {
        self::check_data_dir(isset($config['client']['data_dir']) ? $config['client']['data_dir'] : '');
        get_instance()->load->library('session');
        $this->protected = isset($config['protected']) ? $config['protected'] : array();
        $this->client = new SsoClient($config['client'], new Sso_session());
    }

    /** Return the client, with all of its methods. */
    public function client()
    {
        return $this->client;
    }

    /** Return the claims of the signed-in user, or null. */
    public function user()
    {
        return $this->client->user();
    }

    /** Return the user, or send the browser to sign in. */
    public function require_login()
    {
        $user = $this->client->user();
        if ($user === null) {
            $this->client->send($this->client->challenge($this->server()));
        }
        return $user;
    }

    /** Return the user only if the user has a role, else show an error page (403). */
    public function require_role($role, $unit = null)
    {
        $user = $this->require_login();
        if (!SsoClient::hasRole($user, $role, $unit)) {
            $this->client->send($this->client->refusal($this->server(), $role));
        }
        return $user;
    }

    /** Return the row of the user in the table that the program had before, or null. $columns: claim => column. */
    public function local_user($table, array $columns)
    {
        $user = $this->client->user();
        $db = get_instance()->db;
        return $user === null ? null : SsoClient::matchLocalUser($user, $columns, function ($column, $value) use ($db, $table) {
            return $db->where($column, $value)->get($table)->result_array();
        });
    }

    /** Return a form with a button that signs out. */
    public function logout_form($text = 'Keluar')
    {
        return $this->client->logoutForm($text);
    }

    /** Answer a request for the redirect URI. */
    public function handle()
    {
        $this->client->send($this->client->answer($_GET, $_POST, $this->server()));
    }

    /** Require of a controller what config/sso.php says. $name: folder and class in small letters. */
    public function protect($name)
    {
        $everything = isset($this->protected['*']) ? $this->protected['*'] : false;
        $needed = isset($this->protected[$name]) ? $this->protected[$name] : $everything;
        if (is_string($needed)) {
            $this->require_role($needed);
        } elseif ($needed) {
            $this->require_login();
        }
    }

    /** @throws SsoException when the directory is not set, or a browser may open its files */
    private static function check_data_dir($path)
    {
        if (!is_string($path) || !preg_match('#^(/|[A-Za-z]:[/\\\\])#', $path)) {
            throw new SsoException('configuration', 'data_dir: set the environment variable OIDC_DATA_DIR to a directory outside of the web root, such as /var/lib/antrean/sso.');
        }
        $existing = $path;
        while (realpath($existing) === false && dirname($existing) !== $existing) {
            $existing = dirname($existing);
        }
        $existing = realpath($existing) . DIRECTORY_SEPARATOR;
        foreach (array(FCPATH, isset($_SERVER['DOCUMENT_ROOT']) ? $_SERVER['DOCUMENT_ROOT'] : '') as $root) {
            $root = $root === '' ? false : realpath($root);
            if ($root !== false && dirname($root) !== $root && strpos($existing, $root . DIRECTORY_SEPARATOR) === 0) {
                throw new SsoException('configuration', "data_dir: $path is in the web root $root. Choose a directory outside of it.");
            }
        }
    }

    private function server()
    {
        return array_merge($_SERVER, array('REMOTE_ADDR' => get_instance()->input->ip_address()));
    }
}
